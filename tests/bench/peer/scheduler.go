// The peer of scheduler_bench.c and scheduler_wait_bench.c: the same works on goroutines.
//
//	scheduler [-quick] ID       prints lines "id<TAB>value<TAB>unit"
//
// Needs nothing but the standard library and any Go since 1.18.
package main

import (
	"fmt"
	"math/rand"
	"net"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var scale = 1

func show(id string, value float64, unit string) { fmt.Printf("%s\t%.3f\t%s\n", id, value, unit) }

func must(ok bool, what string) {
	if !ok {
		fmt.Fprintln(os.Stderr, "scheduler.go:", what)
		os.Exit(1)
	}
}

func quantile(v []float64, q float64) float64 {
	sort.Float64s(v)
	at := int(q * float64(len(v)))
	if at >= len(v) {
		at = len(v) - 1
	}
	return v[at]
}

func ns(since time.Time) float64 { return float64(time.Since(since).Nanoseconds()) }

// The median of the rounds after the first, which warms up.
func warm(rounds int, f func() float64) float64 {
	f()
	v := make([]float64, rounds)
	for i := range v {
		v[i] = f()
	}
	return quantile(v, 0.5)
}

func status(key string) float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(line, key) {
			kib, _ := strconv.ParseFloat(strings.Fields(line)[1], 64)
			return kib * 1024
		}
	}
	return 0
}

func spawnJoin(string) {
	n := 1000000 / scale
	show("spawn_join_1", warm(3, func() float64 {
		var wg sync.WaitGroup
		var count int64
		start := time.Now()
		wg.Add(n)
		for i := 0; i < n; i++ {
			go func() { atomic.AddInt64(&count, 1); wg.Done() }()
		}
		wg.Wait()
		must(count == int64(n), "count")
		return ns(start) / float64(n)
	}), "ns")
}

func yield(string) {
	runtime.GOMAXPROCS(1)
	var wg sync.WaitGroup
	each := 10000 / scale
	start := time.Now()
	wg.Add(1000)
	for k := 0; k < 1000; k++ {
		go func() {
			for i := 0; i < each; i++ {
				runtime.Gosched()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	show("yield_1000", ns(start)/float64(1000*each), "ns")
}

func pingpong(id string) {
	if id == "pingpong_1c" {
		runtime.GOMAXPROCS(1)
	}
	n := 1000000 / scale
	there, back, done := make(chan int), make(chan int), make(chan float64)
	go func() {
		for v := range there {
			back <- v + 1
		}
	}()
	go func() {
		start, v := time.Now(), 0
		for i := 0; i < n; i++ {
			there <- v
			v = <-back
		}
		must(v == n, "ping-pong")
		done <- ns(start) / float64(n)
		close(there)
	}()
	show(id, <-done, "ns")
}

func stream(id string) {
	team, n := 1, 10000000/scale
	if id == "chan_4_4" {
		team = 4
	}
	c := make(chan int, 128)
	var producers, consumers sync.WaitGroup
	var sum int64
	producers.Add(team)
	consumers.Add(team)
	start := time.Now()
	for k := 0; k < team; k++ {
		go func() {
			for i := 0; i < n/team; i++ {
				c <- 1
			}
			producers.Done()
		}()
		go func() {
			s := 0
			for v := range c {
				s += v
			}
			atomic.AddInt64(&sum, int64(s))
			consumers.Done()
		}()
	}
	producers.Wait()
	close(c)
	consumers.Wait()
	must(sum == int64(n), "sum")
	show(id, ns(start)/float64(n), "ns")
}

func skynetLeaf(to chan int64, number, size int64) {
	if size == 1 {
		to <- number
		return
	}
	c, sum := make(chan int64), int64(0)
	for i := int64(0); i < 10; i++ {
		go skynetLeaf(c, number+i*(size/10), size/10)
	}
	for i := 0; i < 10; i++ {
		sum += <-c
	}
	to <- sum
}

func skynet(string) {
	n := int64(1000000)
	if scale > 1 {
		n = 10000
	}
	show("skynet", warm(3, func() float64 {
		start, c := time.Now(), make(chan int64)
		go skynetLeaf(c, 0, n)
		must(<-c == n*(n-1)/2, "skynet")
		return ns(start) / 1e6
	}), "ms")
	show("skynet_peak_mb", status("VmHWM:")/1e6, "MB")
}

func fibFork(n int) int {
	if n < 2 {
		return n
	}
	c := make(chan int, 1)
	go func() { c <- fibFork(n - 1) }()
	right := fibFork(n - 2)
	return <-c + right
}

func fib(string) {
	n, a, b := 27, 0, 1
	if scale > 1 {
		n = 18
	}
	for i := 0; i < n; i++ {
		a, b = b, a+b
	}
	show("fib_fine", warm(3, func() float64 {
		start := time.Now()
		must(fibFork(n) == a, "fib")
		return ns(start) / float64(a+b-1)
	}), "ns")
}

func parked(string) {
	n := 1000000 / scale
	runtime.GC()
	bytes := status("VmRSS:")
	gate := make(chan struct{})
	var arrived int64
	var wg sync.WaitGroup
	wg.Add(n)
	start := time.Now()
	for i := 0; i < n; i++ {
		go func() {
			atomic.AddInt64(&arrived, 1)
			<-gate
			wg.Done()
		}()
	}
	for atomic.LoadInt64(&arrived) != int64(n) {
		time.Sleep(100 * time.Microsecond)
	}
	show("parked_1m_create", ns(start)/float64(n), "ns")
	time.Sleep(100 * time.Millisecond)
	show("parked_1m_bytes", (status("VmRSS:")-bytes)/float64(n), "B")
	start = time.Now()
	close(gate)
	wg.Wait()
	show("parked_1m_wake", ns(start)/float64(n), "ns")
}

func cpuMs() float64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(0, &r)
	return float64(r.Utime.Sec+r.Stime.Sec)*1e3 + float64(r.Utime.Usec+r.Stime.Usec)/1e3
}

func timers(string) {
	n := 1000000 / scale
	spans, late := make([]time.Duration, n), make([]float64, n)
	rnd := rand.New(rand.NewSource(42))
	for i := range spans {
		spans[i] = time.Duration(1+rnd.Intn(1000)) * time.Millisecond
	}
	var wg sync.WaitGroup
	wg.Add(n)
	cpu, start := cpuMs(), time.Now()
	for i := 0; i < n; i++ {
		go func(i int) {
			begin := time.Now()
			time.Sleep(spans[i])
			late[i] = float64(time.Since(begin)-spans[i]) / 1e3
			wg.Done()
		}(i)
	}
	wg.Wait()
	show("timers_1m_ms", ns(start)/1e6, "ms")
	show("timers_1m_cpu_ms", cpuMs()-cpu, "ms")
	show("timers_1m_p99_us", quantile(late, 0.99), "us")
}

// From a goroutine that has a thread to itself and sleeps in the kernel: a pure Go program has no
// foreign threads.
func inject(string) {
	n := 5000 / min(scale, 10)
	late := make([]float64, n)
	set := make(chan time.Time, 1)
	go func() {
		runtime.LockOSThread()
		span := syscall.NsecToTimespec(int64(time.Millisecond))
		for i := 0; i < n; i++ {
			_ = syscall.Nanosleep(&span, nil)
			set <- time.Now()
		}
	}()
	for i := range late {
		late[i] = ns(<-set) / 1e3
	}
	show("inject_p50_us", quantile(late, 0.5), "us")
	show("inject_p999_us", quantile(late, 0.999), "us")
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func steal(string) {
	n, stolen := 3000/min(scale, 10), 0
	late, joined := make([]float64, n), make(chan struct{})
	for i := range late {
		var at int64
		time.Sleep(time.Millisecond)
		start := time.Now()
		go func() {
			atomic.StoreInt64(&at, int64(time.Since(start)))
			joined <- struct{}{}
		}()
		for time.Since(start) < 200*time.Microsecond {
		}
		if atomic.LoadInt64(&at) != 0 {
			stolen++
		}
		<-joined
		late[i] = float64(atomic.LoadInt64(&at)) / 1e3
	}
	show("steal_p50_us", quantile(late, 0.5), "us")
	show("steal_p99_us", quantile(late, 0.99), "us")
	show("steal_pct", 100*float64(stolen)/float64(n), "%")
}

//go:noinline
func burn(n int64) uint64 {
	x := uint64(88172645463325252)
	for ; n > 0; n-- {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

func hog(id string) {
	var sink uint64
	best := time.Hour
	for i := 0; i < 5; i++ {
		start := time.Now()
		atomic.AddUint64(&sink, burn(5000000)&1)
		if d := time.Since(start); d < best {
			best = d
		}
	}
	work := int64(5000000 * 200e6 / float64(best.Nanoseconds()))
	var stop int32
	var late []float64
	ticked := make(chan struct{})
	go func() {
		for atomic.LoadInt32(&stop) == 0 {
			start := time.Now()
			time.Sleep(time.Millisecond)
			late = append(late, ns(start)/1e3-1e3)
		}
		close(ticked)
	}()
	time.Sleep(5 * time.Millisecond)
	var wg sync.WaitGroup
	wg.Add(8)
	start := time.Now()
	for k := 0; k < 8; k++ {
		go func() {
			if id == "hogsys" {
				span := syscall.NsecToTimespec(int64(200 * time.Millisecond))
				_ = syscall.Nanosleep(&span, nil)
			} else {
				atomic.AddUint64(&sink, burn(work)&1)
			}
			wg.Done()
		}()
	}
	wg.Wait()
	show(id+"_total_ms", ns(start)/1e6, "ms")
	atomic.StoreInt32(&stop, 1)
	<-ticked
	show(id+"_p99_us", quantile(late, 0.99), "us")
}

func fileio(string) {
	f, err := os.CreateTemp("", "scheduler_bench")
	must(err == nil, "temporary file")
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, 65536))
	must(err == nil, "write")
	reps := 100 / min(scale, 10)
	var wg sync.WaitGroup
	wg.Add(1000)
	start := time.Now()
	for k := 0; k < 1000; k++ {
		go func() {
			r, err := os.Open(f.Name())
			must(err == nil, "open")
			data := make([]byte, 65536)
			for i := 0; i < reps; i++ {
				n, _ := r.ReadAt(data, 0)
				must(n == len(data), "read")
			}
			r.Close()
			wg.Done()
		}()
	}
	wg.Wait()
	show("fileio_kops", float64(1000*reps)/ns(start)*1e6, "k/s")
	threads, _ := os.ReadDir("/proc/self/task")
	show("fileio_threads", float64(len(threads)), "")
}

// Serves until standard input closes.
func echo(string) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(err == nil, "listen")
	fmt.Printf("READY %d\n", l.Addr().(*net.TCPAddr).Port)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				data := make([]byte, 256)
				for {
					n, err := c.Read(data)
					if err != nil {
						c.Close()
						return
					}
					if _, err = c.Write(data[:n]); err != nil {
						c.Close()
						return
					}
				}
			}()
		}
	}()
	for {
		if n, err := os.Stdin.Read(make([]byte, 1)); n == 0 || err != nil {
			return
		}
	}
}

func main() {
	works := map[string]func(string){
		"spawn_join_1": spawnJoin, "yield_1000": yield, "pingpong": pingpong, "pingpong_1c": pingpong,
		"chan_1_1": stream, "chan_4_4": stream, "skynet": skynet, "fib_fine": fib, "parked_1m": parked,
		"timers_1m": timers, "inject": inject, "steal": steal, "hog": hog, "hogsys": hog,
		"fileio": fileio, "echo": echo,
	}
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "-quick" {
		scale = 100
		args = args[1:]
	}
	must(len(args) == 1 && works[args[0]] != nil, "usage: scheduler [-quick] ID")
	works[args[0]](args[0])
}
