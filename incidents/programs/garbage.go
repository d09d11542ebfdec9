// Garbage and a small live set: garbage LIVE_MIB TOTAL_MIB RATE_MIB. With the collector off nothing is ever freed.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

//go:noinline
func handleRequest() []byte {
	body := make([]byte, 32<<10)
	for at := 0; at < len(body); at += 4096 {
		body[at] = 1
	}
	return body
}

func number(at int) int {
	value, err := strconv.Atoi(os.Args[at])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return value
}

func main() {
	live, total, rate := number(1)*32, number(2)*32, float64(number(3)*32)
	kept, begin := make([][]byte, live), time.Now()
	for made := 0; made < total; made++ {
		kept[made%live] = handleRequest()
		if ahead := float64(made)/rate - time.Since(begin).Seconds(); ahead > 0 {
			time.Sleep(time.Duration(ahead * float64(time.Second)))
		}
	}
	fmt.Println("ready")
	select {}
}
