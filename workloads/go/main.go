// Grows, holds and frees memory on command. See ../README.md for the protocol.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
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
