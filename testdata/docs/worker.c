/* A program that reads lines, and dies at the one that has no value. With "wait" it
 * stops there instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct item {
	char *key;
	char *value;
};

static int waiting;

__attribute__((noinline)) static void store(struct item *item)
{
	if (waiting) {
		puts("ready");
		fflush(stdout);
		for (;;)
			pause();
	}
	printf("%s: %zu bytes\n", item->key, strlen(item->value));
}

__attribute__((noinline)) void parse_line(char *line)
{
	struct item item;
	item.key = strtok(line, "=");
	item.value = strtok(NULL, "=");
	store(&item);
	printf("stored %s\n", item.key);
}

int main(int argc, char **argv)
{
	char good[] = "name=worker", bad[] = "retries";
	waiting = argc > 1 && !strcmp(argv[1], "wait");
	if (!waiting)
		parse_line(good);
	parse_line(bad);
	printf("done\n");
	return 0;
}
