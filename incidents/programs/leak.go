// A service that keeps every request: leak RATE_KIB SIZE.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

type store struct{ requests [][]byte }

//go:noinline
func (s *store) keepRequest(size int) {
	body := make([]byte, size)
	for at := 0; at < size; at += 512 {
		body[at] = 1
	}
	s.requests = append(s.requests, body)
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
	rate, size := float64(number(1))*1024, number(2)
	kept, begin, all := 0.0, time.Now(), store{}
	for {
		for kept < time.Since(begin).Seconds()*rate {
			all.keepRequest(size)
			kept += float64(size)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
