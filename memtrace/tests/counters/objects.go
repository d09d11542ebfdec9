// Fills a heap from several functions, and counts what they allocated from the runtime's own profile. See
// ../../../workloads/README.md for the protocol.
//
// `fill COUNT` keeps so many objects more of each function. `drop 0` gives up those of one of them. `collect 0` ends so
// many garbage collections that all is published. `profile PATH` writes a line for each function: its name, and the bytes
// and objects in use, scaled as runtime/pprof does. An argument sets MemProfileRate at the start.
package main

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
)

type order struct {
	number int
	next   *order
	text   [4]uint64
}

var orders *order
var texts [][]byte
var maps []map[int]int
var large [][]byte

//go:noinline
func keepOrder(number int) {
	orders = &order{number: number, next: orders}
}

//go:noinline
func keepText(number int) {
	texts = append(texts, make([]byte, 100+number%3000))
}

//go:noinline
func keepMap(number int) {
	maps = append(maps, map[int]int{number: 1, number + 1: 2})
}

//go:noinline
func keepLarge() {
	large = append(large, make([]byte, 3<<20))
}

func fill(count int) {
	for number := 0; number < count; number++ {
		keepOrder(number)
		keepText(number)
		keepMap(number)
		if number%20000 == 0 {
			keepLarge()
		}
	}
}

func scale(count, size, rate int64) (float64, float64) {
	if count == 0 || size == 0 || rate <= 1 {
		return float64(count), float64(size)
	}
	average := float64(size) / float64(count)
	factor := 1 / (1 - math.Exp(-average/float64(rate)))
	return float64(count) * factor, float64(size) * factor
}

func profile(path string) {
	records := make([]runtime.MemProfileRecord, 10000)
	count, ok := runtime.MemProfile(records, true)
	if !ok {
		panic("too many records")
	}
	bytes, objects := map[string]float64{}, map[string]float64{}
	for _, record := range records[:count] {
		name := ""
		for _, pc := range record.Stack() {
			function := runtime.FuncForPC(pc - 1)
			if function == nil {
				continue
			}
			called := function.Name()
			if !strings.HasPrefix(called, "runtime.") && !strings.HasPrefix(called, "internal/runtime/") {
				name = called
				break
			}
		}
		number, size := scale(record.InUseObjects(), record.InUseBytes(), int64(runtime.MemProfileRate))
		objects[name] += number
		bytes[name] += size
	}
	file, err := os.Create(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	for name := range bytes {
		fmt.Fprintf(file, "%s %d %d\n", name, int64(bytes[name]), int64(objects[name]))
	}
}

func main() {
	if len(os.Args) > 1 {
		rate, err := strconv.Atoi(os.Args[1])
		if err != nil {
			panic(err)
		}
		runtime.MemProfileRate = rate
	}
	fmt.Println("ok ready")
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		words := strings.Split(input.Text(), " ")
		switch words[0] {
		case "fill":
			count, _ := strconv.Atoi(words[1])
			fill(count)
		case "drop":
			texts = nil
		case "collect":
			for i := 0; i < 3; i++ {
				runtime.GC()
			}
		case "profile":
			profile(words[1])
		}
		fmt.Println("ok " + words[0])
	}
}
