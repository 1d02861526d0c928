// Threads that wait for an object of the C library each. For every thread a line says
// what bt is to tell of it: "want NAME TEXT".
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef __GLIBC__
enum { glibc = 1 };
#else
enum { glibc = 0 };
#endif

static pthread_mutex_t mutexes[8], left = PTHREAD_MUTEX_INITIALIZER, right = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER, read_locked = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_barrier_t barrier;
static sem_t sem;
static pthread_t leader;
static int pid, tids[2], pipes[2];

static void name(const char *s) { pthread_setname_np(pthread_self(), s); }
static unsigned long addr(void *p) { return (unsigned long)(uintptr_t)p; }

static void *lock(void *p)
{
	char s[16];
	snprintf(s, sizeof s, "mutex%d", (int)(intptr_t)p);
	name(s);
	pthread_mutex_lock(&mutexes[(intptr_t)p]);
	return 0;
}

static void *timed(void *p)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += 1000;
	name("timed");
	pthread_mutex_timedlock(&mutexes[1], &t);
	return p;
}

// Two threads, which wait for each other.
static pthread_barrier_t both;

static void *first(void *p)
{
	name("first");
	tids[0] = syscall(SYS_gettid);
	pthread_mutex_lock(&left);
	pthread_barrier_wait(&both);
	pthread_mutex_lock(&right);
	return p;
}

static void *second(void *p)
{
	name("second");
	tids[1] = syscall(SYS_gettid);
	pthread_mutex_lock(&right);
	pthread_barrier_wait(&both);
	pthread_mutex_lock(&left);
	return p;
}

static void *condition(void *p)
{
	name("condition");
	pthread_mutex_lock(&held);
	pthread_cond_wait(&cond, &held);
	return p;
}

static void *reader(void *p)
{
	name("reader");
	pthread_rwlock_rdlock(&written);
	return p;
}

static void *writer(void *p)
{
	name("writer");
	pthread_rwlock_wrlock(&written);
	return p;
}

static void *writer_of_read(void *p)
{
	name("writer2");
	pthread_rwlock_wrlock(&read_locked);
	return p;
}

static void *semaphore(void *p)
{
	name("semaphore");
	sem_wait(&sem);
	return p;
}

static void *barriers(void *p)
{
	name("barrier");
	pthread_barrier_wait(&barrier);
	return p;
}

static void *join(void *p)
{
	name("join");
	pthread_join(leader, 0);
	return p;
}

static sem_t in_once;

static void initialize(void)
{
	sem_post(&in_once);
	pause();
}

static void *once_pauses(void *p)
{
	name("pauses");
	pthread_once(&once, initialize);
	return p;
}

static void *once_waits(void *p)
{
	name("once");
	pthread_once(&once, initialize);
	return p;
}

static void spawn(void *(*f)(void *), void *p)
{
	pthread_t t;
	pthread_create(&t, 0, f, p);
}

static void mutex(int i, int type, int robust, int protocol, int shared)
{
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_settype(&a, type);
	if (robust)
		pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	if (protocol)
		pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	if (shared)
		pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	if (pthread_mutex_init(&mutexes[i], &a))
		abort();
	pthread_mutex_lock(&mutexes[i]);
	spawn(lock, (void *)(intptr_t)i);
	// musl's normal mutexes have no owner, unless they are robust or inherit.
	if (glibc || type != PTHREAD_MUTEX_NORMAL || robust || protocol)
		printf("want mutex%d futex for mutex 0x%lx held by thread %d \"waits\"\n", i, addr(&mutexes[i]), pid);
	else
		printf("want mutex%d futex for mutex 0x%lx (owner not recorded)\n", i, addr(&mutexes[i]));
}

static void locks(void)
{
	const char *by = glibc ? "" : " (owner not recorded)";
	pthread_rwlock_wrlock(&written);
	pthread_rwlock_rdlock(&read_locked);
	spawn(reader, 0);
	spawn(writer, 0);
	spawn(writer_of_read, 0);
	char owner[64] = "";
	if (glibc)
		snprintf(owner, sizeof owner, " held for writing by thread %d \"waits\"", pid);
	printf("want reader futex for rwlock 0x%lx%s%s\n", addr(&written), owner, by);
	printf("want writer futex for rwlock 0x%lx%s%s\n", addr(&written), owner, by);
	printf("want writer2 futex for rwlock 0x%lx%s%s\n", addr(&read_locked), glibc ? " held by 1 reader" : "", by);
}

int main(int argc, char **argv)
{
	int elided = argc > 1 && !strcmp(argv[1], "static"); // the version of the library is not known
	char at[32] = "";
	name("waits");
	pid = getpid();
	leader = pthread_self();
	mutex(0, PTHREAD_MUTEX_NORMAL, 0, 0, 0);
	mutex(1, PTHREAD_MUTEX_RECURSIVE, 0, 0, 0);
	mutex(2, PTHREAD_MUTEX_ERRORCHECK, 0, 0, 0);
#ifdef __GLIBC__
	mutex(3, PTHREAD_MUTEX_ADAPTIVE_NP, 0, 0, 0);
#endif
	mutex(4, PTHREAD_MUTEX_NORMAL, 1, 0, 0);
	mutex(5, PTHREAD_MUTEX_NORMAL, 0, 1, 0);
	mutex(6, PTHREAD_MUTEX_NORMAL, 0, 0, 1);
	mutex(7, PTHREAD_MUTEX_RECURSIVE, 1, 1, 0);
	spawn(timed, 0);
	pthread_barrier_init(&both, 0, 2);
	spawn(first, 0);
	spawn(second, 0);
	locks();
	spawn(condition, 0);
	if (glibc && !elided)
		snprintf(at, sizeof at, " 0x%lx", addr(&cond));
	printf("want condition futex for condition variable%s\n", at);
	sem_init(&sem, 0, 0);
	spawn(semaphore, 0);
	printf("want semaphore futex for semaphore 0x%lx\n", addr(&sem));
	pthread_barrier_init(&barrier, 0, 2);
	spawn(barriers, 0);
	if (glibc)
		printf("want barrier futex for barrier 0x%lx, where 1 of 2 threads wait\n", addr(&barrier));
	else
		printf("want barrier futex for barrier\n");
	spawn(join, 0);
	printf("want join futex for the end of thread %d \"waits\"\n", pid);
	sem_init(&in_once, 0, 0);
	spawn(once_pauses, 0);
#ifdef SYS_pause
	printf("want pauses pause()\n");
#else
	printf("want pauses ppoll of nothing\n"); // which pause() makes there
#endif
	sem_wait(&in_once);
	spawn(once_waits, 0);
	printf("want once futex for the initialization by pthread_once of 0x%lx\n", addr(&once));
	while (!tids[0] || !tids[1])
		usleep(1000);
	if (glibc) {
		printf("want first futex for mutex 0x%lx held by thread %d \"second\"\n", addr(&right), tids[1]);
		printf("want second futex for mutex 0x%lx held by thread %d \"first\"\n", addr(&left), tids[0]);
		printf("deadlock %d waits for %d (mutex 0x%lx), %d waits for %d (mutex 0x%lx)\n", tids[0], tids[1], addr(&right), tids[1], tids[0], addr(&left));
	}
	if (pipe(pipes))
		return 1;
	printf("want waits read of fd %d: ", pipes[0]);
	char link[64], path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", pipes[0]);
	int n = readlink(path, link, sizeof link);
	printf("%.*s, written by process %d \"waits\" (fd %d)\nready\n", n > 0 ? n : 0, link, pid, pipes[1]);
	fflush(stdout);
	char c;
	return read(pipes[0], &c, 1) != 1;
}
