package nsys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// reader turns the tables of one export into a profile.
type reader struct {
	src      source
	p        *profile.Profile
	b        *profile.Builder
	name     string // for messages
	progress func(stage string, done, total int64)

	mu      sync.Mutex
	notes   []profile.Diagnostic // of the reader itself, in no order
	strings stringIDs
	traced  map[string]bool // the APIs that were traced, by nsys' own names; nil = not recorded
	devices devices
	enums   enums
	sorter  sorter
	lonePID int64 // the process of rows that name none, if only one process did anything
}

// part is one table, read.
type part struct {
	tally *tally
	pids  []int64                  // global ids of the processes or threads that rows name
	need  func(ids map[int64]bool) // adds the StringIds that rows refer to; may be nil
	merge func(*reader)            // adds the table to the profile
}

// loader reads one table. Loaders run concurrently and touch nothing but their own part; parts are merged one after the
// other in the order of the list, so that the result does not depend on which table was faster.
type loader struct {
	table string
	load  func(context.Context, *reader) (part, error)
}

// loaders start in this order: what takes longest comes first.
var loaders = []loader{
	{tabNVTX, loadRanges}, {tabRuntime, loadCalls}, {tabKernel, loadKernels},
	{tabMetrics, loadMetrics},
	{tabOSRT, loadSpans(tabOSRT, func(p *profile.Profile) *profile.Spans { return &p.OSCalls })},
	{tabMemcpy, loadCopies}, {tabMemset, loadMemsets}, {tabSync, loadSyncs}, {tabGraph, loadGraphTraces},
	{tabNodeEv, loadGraphEvents(tabNodeEv, classNodeCreation)}, {tabGraphEv, loadGraphEvents(tabGraphEv, classGraphCreation)},
	{tabMemUse, loadMemEvents},
	{tabOverhead, loadSpans(tabOverhead, overheads)}, {tabCuptiOver, loadSpans(tabCuptiOver, overheads)},
	{tabCublas, loadSpans(tabCublas, libraryCalls)}, {tabCudnn, loadSpans(tabCudnn, libraryCalls)},
}

func overheads(p *profile.Profile) *profile.Spans    { return &p.Overheads }
func libraryCalls(p *profile.Profile) *profile.Spans { return &p.LibCalls }

// read fills the profile.
func (r *reader) read(ctx context.Context) error {
	r.strings = stringIDs{}
	if err := r.readMeta(ctx); err != nil {
		return err
	}
	parts, err := r.load(ctx)
	if err != nil {
		return err
	}
	needed := map[int64]bool{}
	for _, p := range parts {
		if p.need != nil {
			p.need(needed)
		}
	}
	if err := r.loadStrings(ctx, needed); err != nil {
		return err
	}
	r.lonePID = lonePID(parts)
	for i := range parts {
		parts[i].merge(r)
		r.report(parts[i].tally)
		parts[i] = part{}
	}
	r.sorter = sorter{}
	return r.finish(ctx)
}

// load reads all tables.
func (r *reader) load(ctx context.Context) ([]part, error) {
	var jobs []loader
	for _, l := range loaders {
		if r.src.has(l.table) {
			jobs = append(jobs, l)
		}
	}
	parts, errs := make([]part, len(jobs)), make([]error, len(jobs))
	next := make(chan int, len(jobs))
	for i := range jobs {
		next <- i
	}
	close(next)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var done int64
	for range min(len(jobs), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				if errs[i] = ctx.Err(); errs[i] != nil {
					continue
				}
				if parts[i], errs[i] = jobs[i].load(ctx, r); errs[i] != nil {
					cancel()
				}
				r.mu.Lock()
				done++
				if r.progress != nil {
					r.progress("reading "+r.name, done, int64(len(jobs)))
				}
				r.mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return nil, err
		}
	}
	return parts, errors.Join(errs...)
}

// lonePID returns the process that every row names which names one, 0 if there are several.
func lonePID(parts []part) int64 {
	lone := int64(0)
	for _, p := range parts {
		for _, id := range p.pids {
			switch pid := pidOf(id); {
			case pid == 0 || pid == lone:
			case lone == 0:
				lone = pid
			default:
				return 0
			}
		}
	}
	return lone
}

// finish names what the rows referred to and checks the result.
func (r *reader) finish(ctx context.Context) error {
	r.numberDevices()
	if err := r.readNames(ctx); err != nil {
		return err
	}
	if err := r.readDiagnostics(ctx); err != nil {
		return err
	}
	r.p.Sort()
	r.p.Join()
	r.settleWindow()
	r.listMissing()
	slices.SortFunc(r.notes, func(a, b profile.Diagnostic) int { return strings.Compare(a.Text, b.Text) })
	r.p.Diagnostics = append(r.p.Diagnostics, r.notes...)
	if err := r.p.CheckValid(); err != nil {
		return fmt.Errorf("reading %s: %w: %w", r.name, profile.ErrMalformed, err)
	}
	return nil
}

// report turns the counts of dropped rows into diagnostics.
func (r *reader) report(t *tally) {
	if t == nil {
		return
	}
	for why, n := range t.dropped {
		if n > 0 {
			r.note(profile.Diagnostic{Severity: profile.Warning, Source: "reader", Text: "table " + t.name + ": left out rows " + dropTexts[why], Count: n})
		}
	}
}

func (r *reader) note(d profile.Diagnostic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, d)
}

// pidOf and tidOf take nsys' global ids apart: vm << 48 | pid << 24 | tid.
func pidOf(global int64) int64 { return global >> 24 & 0xffffff }
func tidOf(global int64) int64 { return global & 0xffffff }

// pid returns the process of a global id.
func (r *reader) pid(global int64) int64 {
	if pid := pidOf(global); pid != 0 {
		return pid
	}
	return r.lonePID
}

func (r *reader) thread(globalTid int64) int32 {
	return r.b.Thread(r.pid(globalTid), tidOf(globalTid))
}

func (r *reader) queue(k queueKey) int32 {
	pid := r.pid(k.globalPid)
	return r.b.Queue(profile.Queue{Process: r.b.Process(pid), Device: r.device(pid, k.device), Context: k.context, GreenCtx: k.green, Stream: k.stream})
}

// readNames names processes, and the threads that did something: the tables list every thread of the host.
func (r *reader) readNames(ctx context.Context) error {
	processes := map[int64]int32{}
	for i, p := range r.p.Processes {
		processes[p.PID] = int32(i)
	}
	r.each(ctx, tabProcess, []string{"globalPid"}, []string{"name"}, func(n []int64, s []string) {
		if i, ok := processes[pidOf(n[0])]; ok && n[0] != noValue && s[0] != "" {
			r.p.Processes[i].Name = s[0]
		}
	})
	threads := map[[2]int64]int32{}
	for i, t := range r.p.Threads {
		threads[[2]int64{r.p.Processes[t.Process].PID, t.TID}] = int32(i)
	}
	type named struct {
		thread int32
		id     int64
	}
	var list []named
	needed := map[int64]bool{}
	r.each(ctx, tabThread, []string{"nameId", "globalTid", "priority"}, nil, func(n []int64, _ []string) {
		i, ok := threads[[2]int64{pidOf(n[1]), tidOf(n[1])}]
		if ok && n[1] != noValue && n[2] != noValue && !r.p.Threads[i].HasPriority {
			r.p.Threads[i].Priority, r.p.Threads[i].HasPriority = n[2], true
		}
		if ok && n[0] != noValue && n[1] != noValue && r.p.Threads[i].Name == "" {
			list = append(list, named{i, n[0]})
			needed[n[0]] = true
		}
	})
	if err := r.loadStrings(ctx, needed); err != nil {
		return err
	}
	for _, t := range list {
		r.p.Threads[t.thread].Name = r.p.Strings.At(r.strings[t.id])
	}
	return ctx.Err()
}

// readDiagnostics keeps the profiler's own warnings and errors. Those about a process that never touched the GPU ("No CUDA
// events collected" in the API server) are expected and left out.
func (r *reader) readDiagnostics(ctx context.Context) error {
	onGPU := map[int64]bool{}
	for _, q := range r.p.Queues {
		onGPU[r.p.Processes[q.Process].PID] = true
	}
	type key struct {
		severity profile.Severity
		text     string
	}
	count := map[key]int64{}
	var order []key
	r.each(ctx, tabDiag, []string{"severity", "globalPid"}, []string{"text"}, func(n []int64, s []string) {
		if strings.Contains(s[0], "cudaProfilerStart API") {
			r.p.Capture.Range = "cudaProfilerApi"
		}
		if n[0] != diagnosticWarning && n[0] != diagnosticError || n[1] > 0 && len(onGPU) > 0 && !onGPU[pidOf(n[1])] {
			return
		}
		k := key{profile.Warning, shorten(s[0], 400)}
		if n[0] == diagnosticError {
			k.severity = profile.Error
		}
		if count[k] == 0 {
			order = append(order, k)
		}
		count[k]++
	})
	const most = 100
	for _, k := range order[:min(len(order), most)] {
		r.p.Diagnostics = append(r.p.Diagnostics, profile.Diagnostic{Severity: k.severity, Source: "profiler", Text: k.text, Count: count[k]})
	}
	if rest := len(order) - most; rest > 0 {
		r.p.Diagnostics = append(r.p.Diagnostics, profile.Diagnostic{Severity: profile.Warning, Source: "profiler", Text: "further messages of the profiler", Count: int64(rest)})
	}
	return ctx.Err()
}

// Severities of DIAGNOSTIC_EVENT; 1 is information, 4 is verbose.
const (
	diagnosticWarning = 2
	diagnosticError   = 3
)

// shorten cuts a text that should not be longer than most bytes.
func shorten(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// noValue stands for NULL, an absent column and whatever is no integer in what each delivers.
const noValue = -1 << 63

// each reads a small table row by row: integers and texts in the order asked for, noValue and "" where there is none. An
// error of a small table is not fatal: what it would say is then not recorded, which is noted.
func (r *reader) each(ctx context.Context, table string, ints, texts []string, row func(n []int64, s []string)) {
	if !r.src.has(table) {
		return
	}
	var want []btree.Want
	find := func(names []string, text bool) []int {
		at := make([]int, len(names))
		for i, c := range names {
			at[i] = -1
			if r.src.hasColumn(table, c) {
				at[i] = len(want)
				want = append(want, btree.Want{Name: c, Text: text})
			}
		}
		return at
	}
	atInt, atText := find(ints, false), find(texts, true)
	if len(want) == 0 {
		return
	}
	type record struct {
		n []int64
		s []string
	}
	var rows []record
	cut := false
	err := r.src.scan(ctx, table, want, func(int64) { rows, cut = nil, false }, func(b *btree.Batch) error {
		for i := range b.Len {
			if len(rows) == smallRows {
				cut = true
				return nil
			}
			rec := record{make([]int64, len(ints)), make([]string, len(texts))}
			for k, c := range atInt {
				rec.n[k] = noValue
				if c >= 0 && b.Cols[c].Kinds[i] == btree.Int {
					rec.n[k] = b.Cols[c].Ints[i]
				}
			}
			for k, c := range atText {
				if c >= 0 && b.Cols[c].Kinds[i] == btree.Text {
					text := b.Cols[c].Text[i]
					rec.s[k] = string(text[:min(len(text), smallText)])
				}
			}
			rows = append(rows, rec)
		}
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			r.note(profile.Diagnostic{Severity: profile.Warning, Source: "reader", Text: "table " + table + " cannot be read and is left out"})
		}
		return
	}
	if cut {
		r.note(profile.Diagnostic{Severity: profile.Warning, Source: "reader", Text: "table " + table + " is longer than any capture needs: the rest is left out"})
	}
	for _, rec := range rows {
		row(rec.n, rec.s)
	}
}

// Bounds of a table that each reads, far beyond what captures have.
const (
	smallRows = 1 << 20
	smallText = 1 << 20
)

// positive returns v, or 0 = not recorded for what is no positive number.
func positive(v int64) int64 { return max(0, v) }

func sortMissing(list []profile.Missing) {
	slices.SortStableFunc(list, func(x, y profile.Missing) int { return cmp.Compare(x.What, y.What) })
}
