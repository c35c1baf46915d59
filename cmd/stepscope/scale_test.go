package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stepscope/stepscope/internal/packed"
	"github.com/stepscope/stepscope/internal/proftest/scale"
)

// BenchmarkDiagnose shows that cost grows with the capture and no faster: ns/kernel stays flat from 1x to 16x. The full
// size (2 million kernels, 3.4 million API calls, 9.75 million ranges, about 1 GB) is 16x.
//
//	go test ./cmd/stepscope -run '^$' -bench Diagnose -benchtime 1x
func BenchmarkDiagnose(b *testing.B) {
	from := packed.Unzstd(b, filepath.Join("..", "..", "demo", "eager1b-G", "profile.sqlite.zst"))
	for _, times := range []int64{1, 4, 16} {
		b.Run(fmt.Sprintf("%dx", times), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "scaled.sqlite")
			res, err := scale.File(context.Background(), from, path, scale.Target{Kernels: times * 125_000, Calls: times * 212_500, Ranges: times * 609_000})
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for range b.N {
				if code := run(context.Background(), []string{"diagnose", path}, io.Discard, os.Stderr); code != exitOK {
					b.Fatalf("exit %d", code)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(res.Kernels), "ns/kernel")
		})
	}
}
