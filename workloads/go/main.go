// Grows, holds and frees memory on command. See ../README.md for the protocol.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"
)

const mib = 1 << 20

var blocks [][]byte
var random uint64 = 1

// The function that grows: the tests look for its name in stacks.
//
//go:noinline
func growBlock(size int) {
	block := make([]byte, size)
	for i := 0; i < size; i += 64 {
		block[i] = 0x5a
	}
	blocks = append(blocks, block)
}

func grow(bytes int) {
	done := 0
	for done < bytes/4*3 {
		random = random*6364136223846793005 + 1442695040888963407
		size := 32 + int(random>>33%2048)
		growBlock(size)
		done += size
	}
	for ; done < bytes; done += 512 << 10 {
		growBlock(512 << 10)
	}
}

func release(percent int) {
	kept, seen := 0, 0
	for _, block := range blocks {
		seen += percent
		if seen >= 100 {
			seen -= 100
			continue
		}
		blocks[kept] = block
		kept++
	}
	for i := kept; i < len(blocks); i++ {
		blocks[i] = nil
	}
	blocks = blocks[:kept]
	runtime.GC()
}

// For who reads it from outside: two words of each goroutine that churns. The second is its blocks so far; the first of
// all is what the heap holds, garbage that was not swept yet included.
var churned [2][2]uint64
var churning atomic.Bool
var churners sync.WaitGroup

// Lets a block go and takes another one, of 32 to 2079 bytes, as fast as it can.
func churn(at, bytes int) {
	defer churners.Done()
	slots := make([][]byte, bytes/len(churned)/1056)
	random := uint64(at + 1)
	next := func(below int) int {
		random = random*6364136223846793005 + 1442695040888963407
		return int(random >> 33 % uint64(below))
	}
	held := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for churning.Load() {
		slots[next(len(slots))] = make([]byte, 32+next(2048))
		if atomic.AddUint64(&churned[at][1], 1)%64 == 0 {
			metrics.Read(held)
			atomic.StoreUint64(&churned[0][0], held[0].Value.Uint64())
		}
	}
}

// Asked for without allocating anything in between.
var stats runtime.MemStats
var line [64]byte

func figure(name string, value uint64) {
	text := append(line[:0], "ok "...)
	text = append(text, name...)
	text = append(text, ' ')
	text = strconv.AppendUint(text, value, 10)
	os.Stdout.Write(append(text, '\n'))
}

func main() {
	fmt.Println("ok ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var name string
		var value int
		if n, _ := fmt.Sscanf(lines.Text(), "%s %d", &name, &value); n < 1 {
			continue
		}
		switch name {
		case "grow":
			grow(value * mib)
		case "free":
			release(value)
		case "return":
			debug.FreeOSMemory()
		case "allocated":
			runtime.ReadMemStats(&stats)
			figure(name, stats.HeapAlloc)
			continue
		case "in-use", "idle", "released":
			runtime.ReadMemStats(&stats)
			figure(name, map[string]uint64{"in-use": stats.HeapInuse, "idle": stats.HeapIdle, "released": stats.HeapReleased}[name])
			continue
		case "churn":
			churning.Store(true)
			churners.Add(len(churned))
			for at := range churned {
				go churn(at, value*mib)
			}
			figure(name, uint64(uintptr(unsafe.Pointer(&churned))))
			continue
		case "rest":
			churning.Store(false)
			churners.Wait()
		case "hold":
		case "quit":
			fmt.Println("ok quit")
			return
		default:
			fmt.Println("error unknown command", name)
			continue
		}
		fmt.Println("ok", name, value)
	}
}
