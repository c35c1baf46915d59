package serving

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// repeat reads one text again and again, up to n bytes.
type repeat struct {
	text string
	at   int
	left int
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.left)], r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	r.left -= n
	return n, nil
}

// BenchmarkReadLog reads 100 MB: access lines, iteration details and, every
// thousand lines, statistics, as a busy server with both switched on prints.
func BenchmarkReadLog(b *testing.B) {
	var block strings.Builder
	for i := range 1000 {
		if i%2 == 0 {
			fmt.Fprintf(&block, "(APIServer pid=2709) INFO:     127.0.0.1:%d - \"POST /v1/completions HTTP/1.1\" 200 OK\n", 40000+i)
		} else {
			fmt.Fprintf(&block, "(APIServer pid=2709) INFO 11-24 06:%02d:%02d [loggers.py:196] Engine 000: Iteration(%d): 1 context requests, 512 context tokens, 31 generation requests, 31 generation tokens, iteration elapsed time: 8.%02d ms, GPU KV cache usage: 12.3%%\n", i/60%60, i%60, i, i%100)
		}
	}
	block.WriteString("(APIServer pid=2709) INFO 11-24 06:40:51 [loggers.py:273] " + statText + "\n")
	const size = 100 << 20
	b.SetBytes(size)
	for range b.N {
		l, err := ReadLog("server.log", io.MultiReader(strings.NewReader(start085), &repeat{text: block.String(), left: size}))
		if err != nil || len(l.Stats) < 500 {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadBench reads a --save-detailed result of 10,000 requests.
func BenchmarkReadBench(b *testing.B) {
	var t bytes.Buffer
	t.WriteString(`{"completed": 10000, "duration": 100, "ttfts": [0.1`)
	for range 9999 {
		t.WriteString(", 0.123456789012345")
	}
	t.WriteString(`], "itls": [[0.01]`)
	for range 9999 {
		t.WriteString(", [0.0101" + strings.Repeat(", 0.01234567890123", 100) + "]")
	}
	t.WriteString(`], "generated_texts": [""`)
	for range 9999 {
		t.WriteString(`, "` + strings.Repeat("lorem ipsum ", 40) + `"`)
	}
	t.WriteString("]}")
	b.SetBytes(int64(t.Len()))
	for range b.N {
		r, err := ReadBench("bench.json", bytes.NewReader(t.Bytes()))
		if err != nil || len(r.ITL.Samples) < 1_000_000 {
			b.Fatal(err)
		}
	}
}
