// SPDX-License-Identifier: GPL-2.0
/*
 * kernel.gate_dso: a string that names the file which holds a copy of the
 * kernel's gate DSO (the vDSO), for programs that unwind stacks and name the
 * addresses in them. The kernel itself makes no use of it.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/sysctl.h>
#include <linux/version.h>

/* In bytes, with the terminating NUL. */
#define GATE_DSO_LEN	256

static char gate_dso_path[GATE_DSO_LEN];

/*
 * Not const: before 6.12 register_sysctl() takes a table that it may write to,
 * and since then it is as content with this one.
 */
static struct ctl_table gate_dso_table[] = {
	{
		.procname	= "gate_dso",
		.data		= gate_dso_path,
		.maxlen		= sizeof(gate_dso_path),
		.mode		= 0644,
		.proc_handler	= proc_dostring,
	},
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
	/*
	 * Up to 6.5 an empty entry is the table's end. Since 6.6
	 * register_sysctl() is a macro that counts the entries, and since 6.11
	 * it refuses an empty one.
	 */
	{ }
#endif
};

static struct ctl_table_header *gate_dso_header;

static int __init gate_dso_init(void)
{
	gate_dso_header = register_sysctl("kernel", gate_dso_table);
	if (!gate_dso_header) {
		pr_err("cannot register kernel.gate_dso\n");
		return -ENOMEM;
	}
	return 0;
}

static void __exit gate_dso_exit(void)
{
	unregister_sysctl_table(gate_dso_header);
}

module_init(gate_dso_init);
module_exit(gate_dso_exit);

MODULE_DESCRIPTION("The sysctl kernel.gate_dso: which file holds the gate DSO");
MODULE_LICENSE("GPL");
