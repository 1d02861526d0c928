/* Two threads that transfer money between the same two accounts, in both directions:
 * each holds the lock that the other needs. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

struct account {
	pthread_mutex_t lock;
	long balance;
};

static struct account alice = { PTHREAD_MUTEX_INITIALIZER, 100 };
static struct account bob = { PTHREAD_MUTEX_INITIALIZER, 100 };
static pthread_barrier_t both;

static void transfer(struct account *from, struct account *to, long amount)
{
	pthread_mutex_lock(&from->lock);
	pthread_barrier_wait(&both);
	pthread_mutex_lock(&to->lock);
	from->balance -= amount;
	to->balance += amount;
	pthread_mutex_unlock(&to->lock);
	pthread_mutex_unlock(&from->lock);
}

static void *pay_rent(void *arg)
{
	pthread_setname_np(pthread_self(), "rent");
	transfer(&alice, &bob, 50);
	return arg;
}

static void *pay_wages(void *arg)
{
	pthread_setname_np(pthread_self(), "wages");
	transfer(&bob, &alice, 70);
	return arg;
}

int main(void)
{
	pthread_t rent, wages;
	pthread_barrier_init(&both, NULL, 2);
	pthread_create(&rent, NULL, pay_rent, NULL);
	pthread_create(&wages, NULL, pay_wages, NULL);
	usleep(100000);
	puts("ready");
	fflush(stdout);
	pthread_join(rent, NULL);
	pthread_join(wages, NULL);
	return 0;
}
