package annotate

import (
	"strings"
	"testing"
)

// TestForms holds one case for each form of the package comment, and for what
// looks like one. A case is text in which what is to be inserted stands in
// «guillemets».
func TestForms(t *testing.T) {
	root := sysroot(t)
	targets := map[string]Options{
		"maps":  {Target: mapped(t, root, sampleMaps)},
		"prog":  {Target: program(t, root+"/bin/prog")},
		"foo":   {Target: program(t, root+"/lib/libfoo.so")},
		"bar":   {Target: program(t, root+"/lib/libbar.so")},
		"32":    {Target: program(t, root+"/bin/prog32")},
		"none":  {Sysroot: root},
		"calls": {Target: mapped(t, root, sampleMaps), ReturnAddresses: true},
	}
	for _, tt := range []struct{ name, target, text string }{
		{"plain", "maps", "at 0x401200« <second+0x0>», 0x7f0000001234« <second+0x34>».\n"},
		{"plain, 12 and 16 digits", "maps", "7f0000001200« <second+0x0>» 00007f0000001200« <second+0x0>»\n"},
		{"plain return addresses", "calls", "0x401200« <first+0x100>»\n"},
		{"upper case", "maps", "0x7F0000001200« <second+0x0>» 00007F0000001200« <second+0x0>»\n"},
		{"brackets", "maps", "(0x401200« <second+0x0>») [0x401200« <second+0x0>»] {0x401200« <second+0x0>»} fn=0x401200« <second+0x0>»,\"0x401200« <second+0x0>»\"\n"},
		{"no final newline", "maps", "0x401200« <second+0x0>»"},
		{"CRLF", "maps", "0x401200« <second+0x0>»\r\n#1  0x401200« <first+0x100>»\r\n"},
		{"no UTF-8", "maps", "\xff\xfe 0x401200« <second+0x0>» \x00\x00\xc3\n→0x401200« <second+0x0>»…\n"},
		{"colours", "maps", "#1  \x1b[34m0x0000000000401200« <first+0x100>»\x1b[m in ?? ()\n\x1b[1;31m7f0000001200« <second+0x0>»\x1b[0m\n"},
		{"unmapped", "maps", "0x500000 0x1200 deadbeefdeadbeef 0xffffffff81000000\n"},
		{"not executable", "maps", "0x400200 7f0000000200\n"},
		{"no symbol covers it", "maps", "0x402f00\n"},
		{"anonymous", "maps", "0x7f2000000010\n"},
		{"named already", "maps", "0x401200 <second> 0x401210 <x+0x1> 0x401200<y>\n"},
		{"but smaller than", "maps", "0x401200« <second+0x0>» < 5, 0x401200« <second+0x0>» <= 6, 0x401200« <second+0x0>» << 1>\n"},
		{"decimal numbers", "maps", "401200 4198912 140000000 00401200\n"},
		{"hashes", "maps", "7f0000001200aaaaaaaaaaaaaaaaaaaaaaaaaaaa 0x7f0000001200aaaaaaaaa a401200 401200f commit 0401abc\n"},
		{"UUID", "maps", "00401200-0040-1200-0040-7f0000001200 7f000000-1200-4000-8000-7f0000001200\n"},
		{"parts of words", "maps", "x0x401200 10x401200 0x401200g 0x401200_ _7f0000001200 /7f0000001200 7f0000001200.txt 0x401200.5 a\\7f0000001200\n"},
		{"offsets and ranges", "maps", "x+0x401200 -0x401200 0x401200-0x401300 7f0000001000+2000 0x401200+5\n"},
		{"mixed case", "maps", "7f000000aBcD 0000000000401aBc\n"},
		{"8 digits of 64-bit", "maps", "at 00401200\n"},
		{"8 digits of 32-bit", "32", "at 08049200« <second+0x0>», 0x8049200« <second+0x0>»; f7f075e9\n"},

		{"gdb", "maps", "#0  0x0000000000401200« <second+0x0>» in ?? ()\n" +
			"#1  0x00007f0000001200« <first+0x100>» in ?? () from /lib/libfoo.so\n" +
			"#2  0x00007f0000001200 in ?? () from /lib/libother.so\n" +
			"#3  0x0000000000401200 in main (f=0x401200 <main>, g=0x401200« <second+0x0>») at x.c:3\n" +
			"#4  <signal handler called>\n" +
			"#10 0x0000000000401200« <second+0x0>» in ?? ()\n"},
		{"gdb without target", "none", "#1  0x00007f0000001200 in ?? () from /lib/libfoo.so\n"},
		{"eu-stack", "maps", "#0  0x00007f0000001200« <second+0x0>»\n#1  0x00007f0000001200« <first+0x100>»\n#2  0x00007f0000001200 - 1 main\n" +
			"#3  0x00007f0000001200« <first+0x100>» - 1\n#4  0x00007f0000001200« <first+0x100>»     - /lib/libfoo.so\n#5  0x00007f0000001200 raise\n#6  0x00007f0000001200 __restore_rt\n#7  0x00007f0000001200« <second+0x0>»\n"},
		{"after an unnamed trampoline", "maps", "#1  0x401300« <__restore_rt+0x0>»\n#2  0x401200« <second+0x0>»\n#3  0x401200« <first+0x100>»\n"},
		{"systemd", "maps", "                #0  0x00007f0000001200« <second+0x0>» n/a (libfoo.so + 0x1200)\n                #1  0x00007f0000001200 f (libfoo.so + 0x1200)\n                #10 0x00007f0000001200« <first+0x100>» n/a (/lib/libfoo.so + 0x1200)\n"},
		{"systemd, another process", "maps", "#1  0x00007fffffff1200« <first+0x100>» n/a (libfoo.so + 0x1200)\n"},
		{"systemd, base", "bar", "#1  0x00007fffffff1200« <first+0x100>» n/a (libbar.so + 0x1200)\n"},
		{"sanitizer", "maps", "    #0 0x7f0000001200« <second+0x0>» (/lib/libfoo.so+0x1200) (BuildId: " + fooID + ")\n    #1 0x7f0000001200« <second+0x0>»  (/lib/libfoo.so+0x1200)\n    #2 0x401200 in main /x.c:3:5\n"},
		{"sanitizer, another build", "maps", "    #0 0x7f0000001200  (/lib/libfoo.so+0x1200) (BuildId: " + strings.Repeat("ab", 20) + ")\n"},
		{"sanitizer without target", "none", "    #1 0x7fff00001200« <second+0x0>» (/lib/libfoo.so+0x1200) (BuildId: " + fooID + ")\n    #2 0x7fff00011200« <second+0x0>» (/lib/libbar.so+0x11200)\n    #3 0x7 (/lib/libfoo.so+0x1200) (BuildId: abcd)\n"},
		{"sanitizer summary", "none", "SUMMARY: AddressSanitizer: SEGV (/lib/libfoo.so+0x1200« <second+0x0>») (BuildId: " + fooID + ") \n"},
		{"chromium", "none", "#0 0x7fff00001200« <second+0x0>» (/lib/libfoo.so+0x1200)\n#1 0x7fff00001200« <first+0x100>» (/lib/libfoo.so+0x1200)\n#2 0x55d012341200 <unknown>\n#3 0x55d012341200 base::X()\n"},
		{"chromium, unknown", "maps", "#2 0x7f0000001200« <first+0x100>» <unknown>\n"},
		{"android", "none", "      #00 pc 0000000000001200« <second+0x0>»  /lib/libfoo.so (BuildId: " + fooID + ")\n" +
			"01-01 12:00:00.000 F DEBUG   :     #01 pc 0000000000001200« <second+0x0>»  /lib/libfoo.so\n" +
			"#02 pc 00001200« <second+0x0>»  /lib/libfoo.so\n" +
			"#03 pc 0000000000001200  /lib/libfoo.so (second+0)\n" +
			"#04 pc 0000000000001200  /lib/libfoo.so (BuildId: 1234)\n" +
			"#05 pc 0000000000001200  /lib/libfoo.so (offset 0x1000) (BuildId: " + fooID + ")\n" +
			"#06 pc 0000000000001200  /data/app/base.apk!libfoo.so (offset 0x1000)\n" +
			"#07 pc 0000000000001200  <anonymous:7f00>\n"},
		{"android, relative", "foo", "#00 pc 0000000000001200« <second+0x0>»  /system/lib64/libfoo.so\n"},
		{"glibc", "maps", "./prog(+0x1200) [0x401200« <first+0x100>»]\n./prog() [0x401200« <first+0x100>»]\n/lib/libfoo.so(second+0x0)[0x7f0000001200« <first+0x100>»]\n[0x7f0000001200« <first+0x100>»]\nlog: ./prog() [0x401200« <first+0x100>»]\n"},
		{"glibc, another process", "maps", "/lib/libfoo.so(+0x1234) [0x7fff00001234« <second+0x34>»]\n/lib/libother.so(+0x1234) [0x7f0000001234]\n"},
		{"glibc without target", "none", "/lib/libfoo.so(+0x1234) [0x7fff00001234« <second+0x34>»]\n/lib/libfoo.so(_Z5thirdi+0x34)[0x7fff« <third(int)+0x34>»]\n/lib/libfoo.so(nosuch+0x34)[0x7fff]\n/bin/prog() [0x401234« <second+0x34>»]\n./prog(+0x1234) [0x7fff]\nx: /lib/libfoo.so(+0x1234) [0x7fff00001234« <second+0x34>»]\n"},
		{"glibc, trampoline", "maps", "/lib/libfoo.so(+0x1300) [0x7f0000001300« <__restore_rt+0x0>»]\n./prog() [0x401200« <second+0x0>»]\n./prog() [0x401200« <first+0x100>»]\n"},
		{"no glibc", "maps", "call (0x5) [0x401200« <second+0x0>»]\n"},
		{"python", "none", "  Binary file \"/lib/libbar.so\", at +0x1234 [0x7fff« <second+0x34>»]\n  Binary file \"/lib/libbar.so\", at second+0x10 [0x7fff« <second+0x10>»]\n"},
		{"rust", "maps", "   0:     0x7f0000001200« <first+0x100>» - <unknown>\n  10:     0x7f0000001200 - std::rt::lang_start\n"},
		{"glog", "maps", "PC: @           0x401200« <second+0x0>» (unknown)\n    @           0x401200« <first+0x100>» (unknown)\n    @     0x7f0000001200 main\n    @     0x7f0000001200« <first+0x100>»\n"},
		{"valgrind", "maps", "==12==    at 0x401200« <second+0x0>»: ??? (in /bin/prog)\n==12==    by 0x401200« <second+0x0>»: ??? (in /bin/prog)\n==12==    by 0x401200: main (x.c:3)\n==12==    by 0x401200: ??? (in /bin/other)\n==12==  Address 0x0 is not stack'd\n"},
		{"perf", "maps", "\t          401200« <second+0x0>» [unknown] (/bin/prog)\n\t    7f0000001200« <first+0x100>» [unknown] (/lib/libfoo.so)\n\t    7f0000001200 second+0x0 (/lib/libfoo.so)\n\nprog 1 2.3: cycles:\n\t          401200« <second+0x0>» [unknown] (/bin/prog)\n"},
		{"perf, offsets in the file", "foo", "\t          001200« <second+0x0>» [unknown] (/lib/libfoo.so)\n\t          001200« <first+0x100>» [unknown] (/lib/libfoo.so)\n"},
		{"perf without target", "none", "\t          001234« <second+0x34>» [unknown] (/lib/libbar.so)\n\t    7f0000001234 [unknown] (/lib/libbar.so)\n"},
		{"gdb, where it stops", "maps", "Breakpoint 1, 0x0000000000401200 in main () at x.c:3\n0x0000000000401200« <second+0x0>» in ?? ()\nit is 0x401200« <second+0x0>» in the log\n"},
		{"go", "prog", "[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x401200« <second+0x0>»]\n\ngoroutine 1 [running]:\nmain.f(...)\n\t/src/x.go:12 +0x1d fp=0xc00006bfe0 sp=0xc00006bf50 pc=0x401200\nPC=0x401200« <second+0x0>» m=0 sigcode=0\nrip    0x401200« <second+0x0>»\n"},
		{"java", "foo", "# C  [libfoo.so+0x1200« <second+0x0>»]\n#\nC  [libfoo.so+0x1200« <second+0x0>»]\nC  [libfoo.so+0x1200« <first+0x100>»]\nV  [libfoo.so+0x1200]  JavaThread::run()+0x4\nC  [libother.so+0x1200]\n"},
		{"java, base", "bar", "C  [libbar.so+0x1234« <second+0x34>»]\n"},
		{"bt", "maps", "# process 1 ./prog\n# thread 1 \"x\"\n0000000000401200« <second+0x0>»\n0000000000401200« <first+0x100>»\n0000000000401200 <x+0x5>\n# signal SIGUSR1\n0000000000401300« <__restore_rt+0x0>»\n0000000000401200« <second+0x0>»\n0000000000401200« <first+0x100>»\nother\n0000000000401200« <second+0x0>»\n"},
		{"bt, signal outside of a thread", "maps", "# signal\n0000000000401200« <second+0x0>»\n"},
		{"bt with modules", "none", "# thread 1\n00007fff00001200« <second+0x0>» (/lib/libfoo.so+0x1200)\n00007fff00001200« <first+0x100>» (/lib/libfoo.so+0x1200)\n"},
		{"module and offset", "none", "see /lib/libfoo.so+0x1234« <second+0x34>», '/lib/libfoo.so+0x1234« <second+0x34>»' (/lib/libfoo.so+0x1234« <second+0x34>»); libfoo.so+0x1234 ../lib/libfoo.so+0x1234 mov eax,[rax+0x1234]\n"},
		{"module and offset, no code", "none", "/lib/libfoo.so+0x234 /lib/libfoo.so+0x9999999\n"},

		{"kernel", "foo", "[  1.5] p[12]: segfault at 0 ip 00007fff00001200« <second+0x0>» sp 00007ffd7a3f3c50 error 4 in libfoo.so[7fff00001000+2000]\n" +
			"p[12]: segfault at 0 ip 00007fff00001200« <second+0x0>» sp 00007ffd7a3f3c50 error 4 in libfoo.so[7fff00001000+2000] likely on CPU 0 (core 0, socket 0)\n" +
			"p[12]: segfault at 0 ip 00007fff00001200« <second+0x0>» sp 00007ffd7a3f3c50 error 4 in libfoo.so[1200,7fff00001000+2000] likely on CPU 0\n" +
			"traps: p[1] general protection fault ip:7fff00001200« <second+0x0>» sp:7ffe error:0 in libfoo.so[7fff00001000+2000]\n" +
			"traps: p[1] trap invalid opcode ip:7fff00001200« <second+0x0>» sp:7ffe error:0 in libfoo.so[1200,7fff00001000+2000]\n"},
		{"kernel, another build", "foo", "p[1]: segfault at 0 ip 00007fff00001200 sp 0 error 4 in libfoo.so[7fff00001000+3000]\n" +
			"p[1]: segfault at 0 ip 00007fff00001200 sp 0 error 4 in libfoo.so[2200,7fff00001000+2000]\n" +
			"p[1]: segfault at 0 ip 00007fff00001200 sp 0 error 4 in libbar.so[7fff00001000+2000]\n" +
			"p[1]: segfault at 0 ip 00007fff00009200 sp 0 error 4 in libfoo.so[7fff00001000+2000]\n" +
			"p[1]: segfault at 0 ip 0000000000000000 sp 0 error 14\n"},
		{"kernel, prelinked", "bar", "p[1]: segfault at 0 ip 00007fff00001200« <second+0x0>» sp 0 error 4 in libbar.so[7fff00001000+2000]\n"},
		{"kernel, by the maps", "maps", "p[1]: segfault at 0 ip 00007f0000001200« <second+0x0>» sp 0 error 4 in libfoo.so[7f0000001000+2000]\n" +
			"p[1]: segfault at 0 ip 00007fff00001200« <second+0x0>» sp 0 error 4 in libfoo.so[7fff00001000+2000]\n" +
			"p[1]: segfault at 0 ip 00007f0000001200 sp 0 error 4 in libother.so[7f0000001000+2000]\n"},
		{"kernel, six digits", "prog", "traps: prog[1] trap divide error ip:401200« <second+0x0>» sp:7ffe error:0 in prog[401000+2000]\n"},
		{"kernel, a name with blanks", "foo", "a in b[1]: segfault at 0 ip 00007fff00001200 sp 0 error 4 in my libfoo.so[7fff00001000+2000]\n"},
		{"kernel without target", "none", "p[1]: segfault at 0 ip 00007f0000001200 sp 0 error 4 in libfoo.so[7f0000001000+2000]\n"},

		{"maps in the text", "none", "0x401200\n" + sampleMaps + "0x401200« <second+0x0>» 7f0000001200« <second+0x0>»\n#1  0x401200« <first+0x100>» in ?? ()\n" +
			"7f0000001000-7f0000003000 r-xp 00001000 fe:00 1 /lib/libfoo.so\n0x401200 7f0000001200« <second+0x0>»\n"},
		{"maps of the text and a target", "prog", sampleMaps + "0x7f0000001200 0x401200« <second+0x0>»\n"},
		{"maps behind a logger's prefix", "maps", "host: 7f0000001000-7f0000003000 r-xp 00001000 fe:00 1 /lib/libfoo.so\n"},
		{"no maps", "none", "7f0000001000-7f0000003000 r-xp\n0x7f0000001200\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, want := marked(tt.text)
			if got := run(t, targets[tt.target], in); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// marked returns a text without and with what is in guillemets.
func marked(text string) (in, want string) {
	want = strings.NewReplacer("«", "", "»", "").Replace(text)
	for {
		before, rest, ok := strings.Cut(text, "«")
		in += before
		if !ok {
			return in, want
		}
		_, text, _ = strings.Cut(rest, "»")
	}
}
