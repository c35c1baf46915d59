package report_test

import (
	"bytes"
	"context"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys"
	"github.com/stepscope/stepscope/report"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

var updateCompare = flag.Bool("update-compare", false, "write the golden files of comparisons")

// compareSide is a made-up engine of n steps of 8 requests; scale stretches its GEMM, rate is its benchmark's.
func compareSide(t testing.TB, name string, n int, scale, rate float64, norm string, settings ...compare.Setting) compare.Side {
	const us = 1000
	b := proftest.NewBuilder(1 << 40)
	at := int64(1000 * us)
	kernels := []struct {
		name string
		dur  int64
	}{{"void flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits<128>>(Flash_fwd_params)", 900 * us}, {"nvjet_tst_128x8_64x12_2x1_v_bz_TNT", int64(2500 * us * scale)}, {norm, 100 * us}}
	for i := range n {
		corr := make([]uint32, len(kernels))
		for k := range kernels {
			corr[k] = b.Call("cudaLaunchKernel_v7000", at-900*us+int64(k)*10*us, at-895*us+int64(k)*10*us)
		}
		b.Range("execute_context_0(0)_generation_8(8)", at-950*us, at-100*us)
		for k, x := range kernels {
			b.KernelConfig(x.name, at, at+x.dur, corr[k], profile.LaunchConfig{Grid: [3]int32{132, 1, 1}, Block: [3]int32{128, 1, 1}}, 0)
			at += x.dur
		}
		at += 1000*us + int64(i%5)*7*us
	}
	src := serving.Source{File: "bench.json"}
	bench := &serving.Bench{Kind: serving.VLLMServe, OutputRate: serving.NewFact(rate, src), Completed: serving.NewFact(int64(20), src), Failed: serving.NewFact(int64(0), src),
		MaxConcurrency: serving.NewFact(int64(8), src), RequestRate: serving.NewFact(math.Inf(1), src)}
	bench.TTFT.Median, bench.TPOT.Median = serving.NewFact(150/scale, src), serving.NewFact(8000/rate, src)
	run := &serving.Run{Bench: bench}
	run.Engine.KVCacheTokens = serving.NewFact(int64(450336), src)
	run.Engine.Model = serving.NewFact("org/model|8b", src)
	a := step.Analyze(b.Build(t), step.Options{})
	return compare.Side{Name: name, Analysis: a, Run: run, Settings: settings, Diagnosis: diagnose.Diagnose(diagnose.NewContext(diagnose.Input{Analysis: a, Run: run}))}
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *updateCompare {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update-compare writes it); got:\n%s", file, got)
	}
}

func comparisons(t *testing.T) map[string]*compare.Comparison {
	const norm = "void vllm::rms_norm_kernel<c10::BFloat16>(c10::BFloat16*)"
	base := func() compare.Side {
		return compareSide(t, "before", 40, 1, 800, norm, compare.Setting{Name: "--max-num-seqs", Value: "64"}, compare.Setting{Name: "--port", Value: "8000"})
	}
	return map[string]*compare.Comparison{
		"compare_better": compare.Compare(base(), compareSide(t, "after", 60, 0.6, 1000, "triton_red_fused_rms_norm_0",
			compare.Setting{Name: "--max-num-seqs", Value: "64"}, compare.Setting{Name: "--port", Value: "8001"}, compare.Setting{Name: "--quantization", Value: "fp8"}), compare.Options{}),
		"compare_same": compare.Compare(base(), compareSide(t, "after", 25, 1, 802, norm, compare.Setting{Name: "--max-num-seqs", Value: "64"}, compare.Setting{Name: "--port", Value: "8000"}), compare.Options{}),
		"compare_two_knobs_worse": compare.Compare(base(), compareSide(t, "af|ter @someone #1 <b>", 40, 1.5, 390, norm,
			compare.Setting{Name: "--max-num-seqs", Value: "8"}, compare.Setting{Name: "--enforce-eager", Value: "true"}), compare.Options{}),
		"compare_other_load": compare.Compare(base(), otherClients(compareSide(t, "after", 40, 1.5, 390, norm, compare.Setting{Name: "--max-num-seqs", Value: "64"}, compare.Setting{Name: "--port", Value: "8000"})), compare.Options{}),
		"compare_nothing":    compare.Compare(compare.Side{Name: "a"}, compare.Side{Name: "b"}, compare.Options{}),
	}
}

// otherClients makes the burst that of other clients.
func otherClients(s compare.Side) compare.Side {
	s.Run.Bench.MaxConcurrency.Value = 64
	return s
}

func TestCompareGoldens(t *testing.T) {
	for name, c := range comparisons(t) {
		var text, verbose, md bytes.Buffer
		for _, err := range []error{report.CompareText(&text, c, report.TextOptions{}), report.CompareText(&verbose, c, report.TextOptions{Verbose: true}), report.CompareMarkdown(&md, c)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		compareGolden(t, name+".txt", text.Bytes())
		compareGolden(t, name+".md", md.Bytes())
		checkWidth(t, name, verbose.String())
		checkWidth(t, name, text.String())
		if strings.Contains(text.String(), "\x1b") {
			t.Errorf("%s: colour where none was asked for", name)
		}
	}
}

func checkWidth(t *testing.T, name, text string) {
	t.Helper()
	for l := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > report.Width {
			t.Errorf("%s: a line of %d columns: %s", name, n, l)
		}
	}
}

func TestCompareMarkdownIsInert(t *testing.T) {
	c := comparisons(t)["compare_two_knobs_worse"]
	c.Summary = "see https://example.org/x @someone fixes #1 [l](u) <img src=x> **b**"
	var b bytes.Buffer
	if err := report.CompareMarkdown(&b, c); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"https://", " @someone", " #1", "<img", "[l](u)", " **b**"} {
		if strings.Contains(strings.ReplaceAll(b.String(), "`af\\|ter @someone #1 <b>`", ""), bad) {
			t.Errorf("%q is live in\n%s", bad, b.String())
		}
	}
}

func TestCompareOfRealCaptures(t *testing.T) {
	load := func(name string) compare.Side {
		dir := proftest.SharedCapture(t, name)
		p, err := nsys.Open(context.Background(), filepath.Join(dir, "profile.sqlite.zst"), nsys.Options{CacheDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		run, err := serving.LoadFolder(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		return compare.Side{Name: name, Analysis: step.Analyze(p, step.Options{}), Run: run}
	}
	for _, pair := range [][2]string{{"base8b-A", "fp8-A"}, {"seqs4-B", "base8b-B"}, {"base8b-E", "base8b-B"}} {
		c := compare.Compare(load(pair[0]), load(pair[1]), compare.Options{})
		var b, md bytes.Buffer
		if err := report.CompareText(&b, c, report.TextOptions{Verbose: true}); err != nil {
			t.Fatal(err)
		}
		checkWidth(t, pair[0], b.String())
		if err := report.CompareMarkdown(&md, c); err != nil {
			t.Fatal(err)
		}
		tables := slices.Collect(strings.Lines(md.String()))
		for i, l := range tables { // every row of a table has as many cells as its head
			if i > 0 && strings.HasPrefix(l, "|") && strings.HasPrefix(tables[i-1], "|") && cells(l) != cells(tables[i-1]) {
				t.Errorf("a row of another width: %s", l)
			}
		}
	}
}

func cells(l string) int { return strings.Count(l, "|") - strings.Count(l, "\\|") }
