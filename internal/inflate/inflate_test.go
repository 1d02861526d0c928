package inflate

import (
	"bytes"
	"compress/zlib"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

func packed(tb testing.TB, data []byte, level int) []byte {
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, level)
	if err != nil {
		tb.Fatal(err)
	}
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// samples are of all kinds: text, code, what cannot be compressed, runs, nothing.
func samples(tb testing.TB) map[string][]byte {
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		tb.Fatal(err)
	}
	src, err := os.ReadFile("inflate.go")
	if err != nil {
		tb.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 200_000)
	skewed := make([]byte, 200_000)
	for i := range random {
		random[i] = byte(rng.Uint32())
		skewed[i] = byte(1 << (rng.Uint32() & rng.Uint32() & 7) * (rng.Uint32() & rng.Uint32() & 1))
	}
	return map[string][]byte{
		"program": exe[:min(len(exe), 3<<20)], "text": src, "random": random, "skewed": skewed,
		"run": make([]byte, 500_000), "short period": bytes.Repeat([]byte("abc"), 99_999),
		"nothing": {}, "byte": {7}, "two": []byte("ab"),
	}
}

func TestZlib(t *testing.T) {
	for name, data := range samples(t) {
		for _, level := range []int{zlib.NoCompression, zlib.BestSpeed, zlib.DefaultCompression, zlib.BestCompression, zlib.HuffmanOnly} {
			in := packed(t, data, level)
			got, err := Zlib(in, len(data))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s at level %d: %v", name, level, err)
			}
			for _, size := range []int{len(data) - 1, len(data) + 1, 2 * len(data)} {
				if size != len(data) {
					if _, err := Zlib(in, size); err == nil {
						t.Errorf("%s at level %d: no error for %d bytes", name, level, size)
					}
				}
			}
			for _, cut := range []int{0, 1, 2, 3, len(in) / 2, len(in) - 5, len(in) - 1} {
				if cut >= 0 && cut < len(in) {
					if _, err := Zlib(in[:cut], len(data)); err == nil {
						t.Errorf("%s at level %d: no error for %d of %d bytes", name, level, cut, len(in))
					}
				}
			}
		}
	}
}

// check compares a stream with what compress/zlib makes of it.
func check(t *testing.T, in []byte) {
	t.Helper()
	const most = 1 << 20
	var want []byte
	r, err := zlib.NewReader(bytes.NewReader(in))
	if err == nil {
		want, err = io.ReadAll(io.LimitReader(r, most+1))
	}
	if len(want) > most {
		return
	}
	got, ours := Zlib(in, len(want))
	if err == nil && (ours != nil || !bytes.Equal(got, want)) {
		t.Errorf("%d bytes: %v, compress/zlib reads them", len(want), ours)
	}
	if err != nil && ours == nil {
		t.Errorf("%d bytes, compress/zlib says %v", len(want), err)
	}
}

// Streams with bits changed give what compress/zlib makes of them.
func TestDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, data := range samples(t) {
		data = data[:min(len(data), 20_000)]
		for _, level := range []int{0, 1, 9, zlib.HuffmanOnly} {
			in := packed(t, data, level)
			for range 200 {
				b := bytes.Clone(in)
				for range 1 + rng.IntN(3) {
					at := rng.IntN(len(b))
					if rng.IntN(2) == 0 {
						at = rng.IntN(min(len(b), 100)) // the codes
					}
					b[at] ^= 1 << rng.IntN(8)
				}
				check(t, b)
			}
		}
	}
}

func FuzzZlib(f *testing.F) {
	for _, data := range samples(f) {
		for _, level := range []int{0, 1, 9, zlib.HuffmanOnly} {
			f.Add(packed(f, data[:min(len(data), 2000)], level))
		}
	}
	f.Fuzz(check)
}

func BenchmarkZlib(b *testing.B) {
	data := samples(b)["program"]
	in := packed(b, data, zlib.DefaultCompression)
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := Zlib(in, len(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("compress", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			r, _ := zlib.NewReader(bytes.NewReader(in))
			if _, err := io.Copy(io.Discard, r); err != nil {
				b.Fatal(err)
			}
		}
	})
}
