package elfsym

import "testing"

// BenchmarkPLTBuild decodes and names all stubs of a file that is open.
func BenchmarkPLTBuild(b *testing.B) {
	each(b, func(b *testing.B, path string) {
		im := open1(b, path)
		defer im.Close()
		if len(im.plt.secs) == 0 {
			b.Skip("no table")
		}
		for b.Loop() {
			im.buildPLT()
		}
		b.ReportMetric(float64(len(im.plt.stubs)), "stubs")
	})
}

// BenchmarkPLTMiss asks for addresses that lie in no table.
func BenchmarkPLTMiss(b *testing.B) {
	each(b, func(b *testing.B, path string) {
		im := open1(b, path)
		defer im.Close()
		sec := im.section(".text")
		for b.Loop() {
			im.PLT(sec.Addr)
		}
	})
}

// BenchmarkPLT asks for addresses in the table.
func BenchmarkPLT(b *testing.B) {
	each(b, func(b *testing.B, path string) {
		im := open1(b, path)
		defer im.Close()
		if len(im.plt.secs) == 0 {
			b.Skip("no table")
		}
		sec := im.plt.secs[0]
		n := uint64(0)
		for b.Loop() {
			im.PLT(sec.addr + n%uint64(len(sec.code)))
			n += 24
		}
	})
}
