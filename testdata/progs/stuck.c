/*
 * A thread that must not be interrupted, or that is the kernel's own:
 *   uffd   read() into a page that a userfaultfd never serves
 *   touch  a store to such a page
 *   fuse   stat() of a file whose FUSE server answers nothing; what the kernel
 *          asks it to break off is said on standard output (root)
 *   uring  io_uring's thread that polls a queue
 * What the machine does not allow ends with status 77.
 */
#define _GNU_SOURCE
#include "prog.h"
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static char *page, path[512];
static int how;

NOINLINE static int reader(void)
{
	int r = read(open("/dev/zero", O_RDONLY), page, 100);

	KEEP;
	return r;
}

NOINLINE static int toucher(void)
{
	*(volatile char *)page = 1;
	KEEP;
	return 1;
}

NOINLINE static int looker(void)
{
	struct stat st;
	int r = stat(path, &st);

	KEEP;
	return r;
}

NOINLINE static void *worker(void *arg)
{
	int r = how == 'u' ? reader() : how == 't' ? toucher() : looker();

	KEEP;
	return r ? arg : 0;
}

static void unserved_page(void)
{
	int fd = syscall(SYS_userfaultfd, 0);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (unsigned long)page;
	reg.range.len = 4096;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		exit(77);
}

/* mount_silent mounts a file system on dir whose server is this process. */
static int mount_silent(const char *dir)
{
	char opts[128];
	int fd = open("/dev/fuse", O_RDWR);

	snprintf(opts, sizeof opts, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	if (fd < 0 || mount("silent", dir, "fuse", MS_NOSUID | MS_NODEV, opts))
		exit(77);
	return fd;
}

static void serve(int fd)
{
	static char buf[1 << 17];
	struct fuse_in_header *in = (void *)buf;

	while (read(fd, buf, sizeof buf) > 0) {
		if (in->opcode == FUSE_INIT) {
			struct { struct fuse_out_header h; struct fuse_init_out init; } out = {
				{ sizeof out, 0, in->unique },
				{ .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096 },
			};
			if (write(fd, &out, sizeof out) < 0)
				die("write");
		} else if (in->opcode == FUSE_LOOKUP) {
			ready(0);
		} else if (in->opcode == FUSE_INTERRUPT) {
			printf("interrupted\n");
			fflush(stdout);
		}
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int fd = -1;

	how = argc > 1 ? argv[1][0] : 0;
	if (argc > 1 && strcmp(argv[1], "uring") == 0) {
		struct io_uring_params p = { .flags = IORING_SETUP_SQPOLL, .sq_thread_idle = 10 };

		if (syscall(SYS_io_uring_setup, 8, &p) < 0)
			exit(77);
		ready(0);
		wait_here();
	}
	if (how == 'f' && argc > 2) {
		/* The server is another process: its end ends the request. */
		snprintf(path, sizeof path, "%s/file", argv[2]);
		fd = mount_silent(argv[2]);
		if (fork() == 0) {
			serve(fd);
			_exit(0);
		}
		close(fd);
	} else {
		unserved_page();
	}
	if (pthread_create(&thread, 0, worker, 0))
		die("pthread_create");
	if (fd < 0)
		ready(0);
	pthread_join(thread, 0);
	return 0;
}
