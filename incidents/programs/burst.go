// A service at rest, then a request that takes all: burst BASE_MIB SECONDS.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

func number(at int) int {
	value, err := strconv.Atoi(os.Args[at])
	if err != nil {
		panic(err)
	}
	return value
}

func fill(mib int) [][]byte {
	var all [][]byte
	for i := 0; i < mib*16; i++ {
		block := make([]byte, 65536)
		for at := range block {
			block[at] = 1
		}
		all = append(all, block)
	}
	return all
}

//go:noinline
func renderReport() [][]byte {
	return fill(600)
}

func main() {
	index := fill(number(1))
	time.Sleep(time.Duration(number(2)) * time.Second)
	fmt.Println(len(index), len(renderReport()))
}
