package ledger

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// writerEnv makes the test binary a writer process: "DIR NAME COUNT".
const writerEnv = "STEPSCOPE_TEST_LEDGER_WRITER"

func TestMain(m *testing.M) {
	if spec := os.Getenv(writerEnv); spec != "" {
		os.Exit(writerProcess(spec))
	}
	os.Exit(m.Run())
}

// writerProcess appends COUNT entries, storing an artefact with each, and prints
// the text of each once it is acknowledged.
func writerProcess(spec string) int {
	var dir, name string
	var count int
	if _, err := fmt.Sscan(spec, &dir, &name, &count); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx := context.Background()
	l := Open(dir)
	l.LockTimeout = time.Minute
	for i := range count {
		text := fmt.Sprintf("%s/%d", name, i)
		a, err := l.Put(ctx, "log.txt", strings.NewReader(strings.Repeat(text, 100)))
		if err == nil {
			_, err = l.Append(ctx, Entry{Kind: KindNote, Text: text, Artefacts: []Artefact{a}})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(text)
	}
	return 0
}

// TestManyProcesses runs several writers at once, kills some of them at arbitrary
// moments, and requires every acknowledged entry and a whole chain.
func TestManyProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	l := testLedger(t)
	var mu sync.Mutex
	acked := map[string]bool{}
	var wg sync.WaitGroup
	for w := range 6 {
		killed := w%2 == 1
		count := 30
		if killed {
			count = 100_000
		}
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s w%d %d", writerEnv, l.Dir(), w, count))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			sc := bufio.NewScanner(out)
			n := 0
			for sc.Scan() {
				mu.Lock()
				acked[sc.Text()] = true
				mu.Unlock()
				if n++; killed && n == 10+w {
					// Somewhere in the next append.
					time.Sleep(time.Duration(w) * 300 * time.Microsecond)
					_ = cmd.Process.Kill()
				}
			}
			if err := cmd.Wait(); (err != nil) != killed {
				t.Errorf("writer %d: %v", w, err)
			}
		})
	}
	wg.Wait()
	ctx := context.Background()
	last := mustAppend(t, l, Entry{Kind: KindNote, Text: "last"})
	records, problems, err := l.List(ctx)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v %v", problems, err)
	}
	count := map[string]int{}
	for _, r := range records {
		count[r.Entry.Text]++
	}
	for text := range acked {
		if count[text] != 1 {
			t.Errorf("acknowledged entry %q is there %d times", text, count[text])
		}
	}
	if len(acked) < 3*30+3*11 {
		t.Errorf("only %d entries were acknowledged", len(acked))
	}
	rep, err := l.Verify(ctx)
	if err != nil || !rep.OK() {
		t.Errorf("%+v %v", rep, err)
	}
	t.Logf("%d records, %d acknowledged, repaired at the end: %v", len(records), len(acked), last.Repaired != nil)
}
