// Command goroutines has goroutines that wait for all there is to wait for, and as many more as
// its first argument says, which wait as the second one says. It prints what
// runtime.Stack tells of all of them, and then waits as well.
package main

import (
	"context"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"syscall"
	"time"
)

var (
	stop = make(chan int)
	kept []any
)

//go:noinline
func receive(c chan int) { <-c }

func deep(n int) {
	if n > 0 {
		deep(n - 1)
		return
	}
	<-stop
}

func listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return l
}

func locks() {
	mu, rw, rw2, wg := new(sync.Mutex), new(sync.RWMutex), new(sync.RWMutex), new(sync.WaitGroup)
	mu.Lock()
	rw.Lock()
	rw2.RLock()
	wg.Add(1)
	for range [3]int{} {
		go func() { mu.Lock() }()
	}
	go func() { rw.RLock() }()
	go func() { rw2.Lock() }()
	go func() { wg.Wait() }()
	go func() {
		cond := sync.NewCond(new(sync.Mutex))
		cond.L.Lock()
		cond.Wait()
	}()
}

func channels() {
	buffered, full, unbuffered := make(chan int, 10), make(chan int, 1), make(chan int)
	buffered2 := buffered
	full <- 1
	for range [6]int{} {
		go receive(buffered2)
	}
	go func() { full <- 2 }()
	go func() { unbuffered <- 1 }()
	go func() {
		select {
		case <-stop:
		case full <- 3:
		case <-buffered2:
		}
	}()
	go func() { select {} }()
	go func() { var none chan int; <-none }()
	go func() { var none chan int; none <- 1 }()
	go func() {
		runtime.LockOSThread()
		<-stop
	}()
	pprof.Do(context.Background(), pprof.Labels("request", "7", "user", "a\x1bb"), func(context.Context) {
		go receive(buffered)
	})
	go deep(100)
	go deep(20000)
}

func files() {
	l := listen()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		panic(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		panic(err)
	}
	go l.Accept()
	go conn.Read(make([]byte, 1))
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	go r.Read(make([]byte, 1))
	kept = []any{accepted, w} // the collector closes what nobody has
	var blocking [2]int       // the poller knows nothing of it: a thread waits
	if err := syscall.Pipe(blocking[:]); err != nil {
		panic(err)
	}
	go syscall.Read(blocking[0], make([]byte, 1))
}

func many(n int, how string) {
	mu := new(sync.Mutex)
	mu.Lock()
	for i := 0; i < n; i++ {
		switch how {
		case "channel":
			go deep(i % 5)
		case "own":
			go receive(make(chan int))
		case "select":
			own := make(chan int)
			go func() {
				select {
				case <-own:
				case <-stop:
				}
			}()
		case "mutex":
			go mu.Lock()
		case "sleep":
			go time.Sleep(time.Hour)
		}
	}
}

type object struct{ next *object }

func finalizers() {
	o := new(object)
	runtime.SetFinalizer(o, func(*object) { <-stop })
	o = nil
	for range [3]int{} {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
}

func main() {
	locks()
	channels()
	files()
	finalizers()
	go func() { time.Sleep(time.Hour) }()
	if len(os.Args) > 2 {
		n, _ := strconv.Atoi(os.Args[1])
		many(n, os.Args[2])
	}
	done := make(chan bool)
	go func() {
		time.Sleep(500 * time.Millisecond)
		buf := make([]byte, 64<<20)
		os.Stdout.Write(buf[:runtime.Stack(buf, len(os.Args) <= 3)])
		os.Stdout.WriteString("\nend\n")
		close(done)
	}()
	<-done
	deep(3)
}
