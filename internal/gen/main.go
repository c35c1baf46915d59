// Command gen scales a real Nsight Systems SQLite export to a given size, for benchmarks by hand:
//
//	go run ./internal/gen -from profile.sqlite -o big.sqlite -kernels 2000000 -calls 3400000 -ranges 9750000
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/stepscope/stepscope/internal/proftest/scale"
)

func main() {
	from := flag.String("from", "", "SQLite export to scale")
	to := flag.String("o", "", "file to write")
	var t scale.Target
	flag.Int64Var(&t.Kernels, "kernels", 2_000_000, "kernels to reach")
	flag.Int64Var(&t.Calls, "calls", 0, "API calls to reach; 0 = as many as repeating gives")
	flag.Int64Var(&t.Ranges, "ranges", 0, "NVTX ranges to reach; 0 = as many as repeating gives")
	flag.Parse()
	if *from == "" || *to == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	res, err := scale.File(context.Background(), *from, *to, t)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(2)
	}
	fmt.Printf("%d repeats: %d kernels, %d API calls, %d NVTX rows\n", res.Repeats, res.Kernels, res.Calls, res.Ranges)
}
