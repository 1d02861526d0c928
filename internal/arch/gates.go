package arch

import "debug/elf"

// gates lists the gate DSOs of Linux. The symbols are those of the kernels that
// were looked at, old and new: an image has what its kernel was built with.
var gates = [...]Gate{
	{
		Arch: "x86 (i386)", Machine: elf.EM_386, Class: elf.ELFCLASS32,
		File: "arch/x86/entry/vdso/vdso32/vdso32.lds.S", Version: "LINUX_2.5, LINUX_2.6",
		Trampolines: []string{"__kernel_sigreturn", "__kernel_rt_sigreturn"},
		From:        "arch/x86/entry/vdso/vdso32/sigreturn.S",
		Entries: []string{
			"__kernel_vsyscall", "__vdso_clock_gettime", "__vdso_clock_gettime64", "__vdso_clock_getres",
			"__vdso_clock_getres_time64", "__vdso_gettimeofday", "__vdso_time", "__vdso_getcpu",
			"__vdso_futex_robust_list32_try_unlock",
		},
	},
	{
		// Signal handlers return to code of libc's.
		Arch: "x86 (x86-64)", Machine: elf.EM_X86_64, Class: elf.ELFCLASS64,
		File: "arch/x86/entry/vdso/vdso.lds.S", Version: "LINUX_2.6",
		Entries: []string{
			"__vdso_clock_gettime", "__vdso_clock_getres", "__vdso_gettimeofday", "__vdso_time",
			"__vdso_getcpu", "__vdso_getrandom", "__vdso_sgx_enter_enclave", "clock_gettime", "clock_getres",
			"gettimeofday", "time", "getcpu", "getrandom",
		},
	},
	{
		Arch: "x86 (x32)", Machine: elf.EM_X86_64, Class: elf.ELFCLASS32,
		File: "arch/x86/entry/vdso/vdsox32.lds.S", Version: "LINUX_2.6",
		Entries: []string{
			"__vdso_clock_gettime", "__vdso_clock_getres", "__vdso_gettimeofday", "__vdso_time",
			"__vdso_getcpu",
		},
	},
	{
		Arch: "arm64", Machine: elf.EM_AARCH64, Class: elf.ELFCLASS64,
		File: "arch/arm64/kernel/vdso/vdso.lds.S", Version: "LINUX_2.6.39",
		Trampolines: []string{"__kernel_rt_sigreturn"},
		From:        "arch/arm64/kernel/vdso/sigreturn.S",
		Entries: []string{
			"__kernel_clock_gettime", "__kernel_clock_getres", "__kernel_gettimeofday", "__kernel_getrandom",
		},
	},
	{
		// Only arm64's image has, or had, trampolines.
		Arch: "arm, arm64 (compat)", Machine: elf.EM_ARM, Class: elf.ELFCLASS32,
		File: "arch/arm/vdso/vdso.lds.S, arch/arm64/kernel/vdso32/vdso.lds.S", Version: "LINUX_2.6",
		Trampolines: []string{
			"__kernel_sigreturn_arm", "__kernel_sigreturn_thumb", "__kernel_rt_sigreturn_arm",
			"__kernel_rt_sigreturn_thumb",
		},
		From: "arch/arm64/kernel/vdso32/sigreturn.S",
		Entries: []string{
			"__vdso_clock_gettime", "__vdso_clock_gettime64", "__vdso_clock_getres", "__vdso_gettimeofday",
		},
	},
	{
		// The kernel enters a handler through the first trampoline, and the handler
		// returns to the second, behind it.
		Arch: "powerpc (64-bit)", Machine: elf.EM_PPC64, Class: elf.ELFCLASS64,
		File: "arch/powerpc/kernel/vdso/vdso64.lds.S", Version: "LINUX_2.6.15",
		Trampolines: []string{"__kernel_start_sigtramp_rt64", "__kernel_sigtramp_rt64"},
		From:        "arch/powerpc/kernel/vdso/sigtramp64.S",
		Entries: []string{
			"__kernel_get_syscall_map", "__kernel_gettimeofday", "__kernel_clock_gettime",
			"__kernel_clock_getres", "__kernel_get_tbfreq", "__kernel_sync_dicache", "__kernel_getcpu",
			"__kernel_time", "__kernel_getrandom",
		},
	},
	{
		Arch: "powerpc (32-bit)", Machine: elf.EM_PPC, Class: elf.ELFCLASS32,
		File: "arch/powerpc/kernel/vdso/vdso32.lds.S", Version: "LINUX_2.6.15",
		Trampolines: []string{"__kernel_sigtramp32", "__kernel_sigtramp_rt32"},
		From:        "arch/powerpc/kernel/vdso/sigtramp32.S",
		Entries: []string{
			"__kernel_get_syscall_map", "__kernel_gettimeofday", "__kernel_clock_gettime",
			"__kernel_clock_gettime64", "__kernel_clock_getres", "__kernel_clock_getres_time64",
			"__kernel_get_tbfreq", "__kernel_sync_dicache", "__kernel_getcpu", "__kernel_time",
			"__kernel_getrandom",
		},
	},
	{
		Arch: "s390 (64-bit)", Machine: elf.EM_S390, Class: elf.ELFCLASS64,
		File: "arch/s390/kernel/vdso/vdso.lds.S", Version: "LINUX_2.6.29",
		Trampolines: []string{"__kernel_sigreturn", "__kernel_rt_sigreturn"},
		From:        "arch/s390/kernel/vdso64/vdso_user_wrapper.S",
		Entries: []string{
			"__kernel_gettimeofday", "__kernel_clock_gettime", "__kernel_clock_getres", "__kernel_getcpu",
			"__kernel_restart_syscall", "__kernel_getrandom",
		},
	},
	{
		Arch: "s390 (31-bit)", Machine: elf.EM_S390, Class: elf.ELFCLASS32,
		File: "arch/s390/kernel/vdso32/vdso32.lds.S", Version: "LINUX_2.6.29",
		Entries: []string{
			"__kernel_gettimeofday", "__kernel_clock_gettime", "__kernel_clock_getres", "__kernel_getcpu",
		},
	},
	{
		Arch: "riscv (64-bit)", Machine: elf.EM_RISCV, Class: elf.ELFCLASS64,
		File: "arch/riscv/kernel/vdso/vdso.lds.S", Version: "LINUX_4.15",
		Trampolines: []string{"__vdso_rt_sigreturn"},
		From:        "arch/riscv/kernel/vdso/rt_sigreturn.S",
		Entries: []string{
			"__vdso_gettimeofday", "__vdso_clock_gettime", "__vdso_clock_getres", "__vdso_getcpu",
			"__vdso_flush_icache", "__vdso_riscv_hwprobe", "__vdso_getrandom",
		},
	},
	{
		Arch: "riscv (32-bit)", Machine: elf.EM_RISCV, Class: elf.ELFCLASS32,
		File: "arch/riscv/kernel/vdso/vdso.lds.S", Version: "LINUX_4.15",
		Trampolines: []string{"__vdso_rt_sigreturn"},
		From:        "arch/riscv/kernel/vdso/rt_sigreturn.S",
		Entries:     []string{"__vdso_getcpu", "__vdso_flush_icache"},
	},
	{
		Arch: "ia64", Machine: elf.EM_IA_64, Class: elf.ELFCLASS64,
		File: "arch/ia64/kernel/gate.lds.S", Version: "LINUX_2.5",
		Trampolines: []string{"__kernel_sigtramp"},
		From:        "arch/ia64/kernel/gate.S",
		Entries:     []string{"__kernel_syscall_via_break", "__kernel_syscall_via_epc"},
	},
	{
		Arch: "loongarch", Machine: elf.EM_LOONGARCH, Class: elf.ELFCLASS64,
		File: "arch/loongarch/vdso/vdso.lds.S", Version: "LINUX_5.10",
		Trampolines: []string{"__vdso_rt_sigreturn"},
		From:        "arch/loongarch/vdso/sigreturn.S",
		Entries: []string{
			"__vdso_getcpu", "__vdso_clock_getres", "__vdso_clock_gettime", "__vdso_gettimeofday",
			"__vdso_getrandom",
		},
	},
	{
		// The image that is mapped does not export the trampolines: only one with a
		// .symtab names them.
		Arch: "mips (n64)", Machine: elf.EM_MIPS, Class: elf.ELFCLASS64,
		File: "arch/mips/vdso/vdso.lds.S", Version: "LINUX_2.6",
		Trampolines: []string{"__vdso_rt_sigreturn"},
		From:        "arch/mips/vdso/sigreturn.S",
		Entries:     []string{"__vdso_clock_gettime", "__vdso_gettimeofday"},
	},
	{
		// As above; n32 has no __vdso_sigreturn.
		Arch: "mips (o32, n32)", Machine: elf.EM_MIPS, Class: elf.ELFCLASS32,
		File: "arch/mips/vdso/vdso.lds.S", Version: "LINUX_2.6",
		Trampolines: []string{"__vdso_sigreturn", "__vdso_rt_sigreturn"},
		From:        "arch/mips/vdso/sigreturn.S",
		Entries:     []string{"__vdso_clock_gettime", "__vdso_gettimeofday"},
	},
	{
		Arch: "parisc (64-bit)", Machine: elf.EM_PARISC, Class: elf.ELFCLASS64,
		File:        "arch/parisc/kernel/vdso64/vdso64.lds.S",
		Trampolines: []string{"__kernel_sigtramp_rt64"},
		From:        "arch/parisc/kernel/vdso64/sigtramp.S",
		Entries:     []string{"__kernel_restart_syscall64"},
	},
	{
		Arch: "parisc (32-bit)", Machine: elf.EM_PARISC, Class: elf.ELFCLASS32,
		File:        "arch/parisc/kernel/vdso32/vdso32.lds.S",
		Trampolines: []string{"__kernel_sigtramp_rt32", "__kernel_sigtramp_rt"},
		From:        "arch/parisc/kernel/vdso32/sigtramp.S",
		Entries: []string{
			"__kernel_restart_syscall32", "__vdso_gettimeofday", "__vdso_clock_gettime",
			"__vdso_clock_gettime64",
		},
	},
	{
		Arch: "sparc (64-bit)", Machine: elf.EM_SPARCV9, Class: elf.ELFCLASS64,
		File: "arch/sparc/vdso/vdso.lds.S", Version: "LINUX_2.6",
		Entries: []string{
			"__vdso_clock_gettime", "__vdso_clock_gettime_stick", "__vdso_gettimeofday",
			"__vdso_gettimeofday_stick", "clock_gettime", "gettimeofday",
		},
	},
	{
		Arch: "sparc (32-bit)", Machine: elf.EM_SPARC, Class: elf.ELFCLASS32,
		File: "arch/sparc/vdso/vdso32/vdso32.lds.S", Version: "LINUX_2.6",
		Entries: []string{"__vdso_clock_gettime", "__vdso_gettimeofday", "clock_gettime", "gettimeofday"},
	},
	{
		Arch: "sh", Machine: elf.EM_SH, Class: elf.ELFCLASS32,
		File: "arch/sh/kernel/vsyscall/vsyscall.lds.S", Version: "LINUX_2.6",
		Trampolines: []string{"__kernel_sigreturn", "__kernel_rt_sigreturn"},
		From:        "arch/sh/kernel/vsyscall/vsyscall-sigreturn.S",
		Entries:     []string{"__kernel_vsyscall"},
	},
	{
		// The entry points were there for a few kernels only.
		Arch: "csky", Machine: emCSKY, Class: elf.ELFCLASS32,
		File: "arch/csky/kernel/vdso/vdso.lds.S", Version: "LINUX_5.10",
		Trampolines: []string{"__vdso_rt_sigreturn"},
		From:        "arch/csky/kernel/vdso/rt_sigreturn.S",
		Entries: []string{
			"__vdso_clock_gettime", "__vdso_clock_gettime64", "__vdso_gettimeofday", "__vdso_clock_getres",
		},
	},
}

// emCSKY is the machine that debug/elf has no name for.
const emCSKY elf.Machine = 252
