package ncu

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/stepscope/stepscope/profile"
)

// Kernel is one profiled launch. Fields that the file does not hold are 0 or "".
type Kernel struct {
	ID      int64  // Nsight Compute's number of the launch, unique within its process and run
	PID     int64  // process id, 0 = not recorded
	Process string // name of the executable
	Name    string // as printed: demangled with parameters, or the plain function name (--print-kernel-base)
	Base    string // plain function name
	Context int64
	Stream  int64
	Grid    [3]int32 // 0 = not recorded
	Block   [3]int32
	Device  int64  // device number, -1 = not recorded
	GPU     string // device name, where the file holds one
	CC      string // compute capability, "9.0"
	// Invocations is 1, or the number of launches that a summary (--print-summary) averaged.
	Invocations int64
	Ranges      []string         // NVTX push/pop ranges around the launch, the outermost first; with --nvtx only
	Metrics     map[string]Value // by raw metric name
	Line        int              // of the file, where the kernel begins
}

// Value is a metric in a base unit: "ns", "byte", "byte/s", "hz", "%", "inst/cycle", ... as in the file otherwise.
type Value struct {
	Value float64
	Unit  string
}

// File is what was read.
type File struct {
	Name     string
	Pages    []string // "raw", "details", "summary": the layouts found
	Kernels  []Kernel
	Messages []string // what Nsight Compute said: ==ERROR== and ==WARNING== lines
	Warnings []error  // what the reader dropped or could not tell
}

// Limits of the input, far beyond what Nsight Compute writes.
const (
	maxLine    = 8 << 20
	maxKernels = 1 << 20
	maxValues  = 1 << 25
)

// Open reads the file at path. Errors wrap profile.ErrUnrecognised or profile.ErrMalformed.
func Open(ctx context.Context, path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Base(path), err)
	}
	defer f.Close()
	return read(ctx, filepath.Base(path), f)
}

// Read reads CSV of Nsight Compute from r; name is for messages.
func Read(name string, r io.Reader) (*File, error) { return read(context.Background(), name, r) }

// Sniff reports whether text, the start of a file, looks like Nsight Compute's CSV.
func Sniff(text []byte) bool {
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))) {
		if looksLikeHeader(bytes.TrimSpace(line)) {
			return true
		}
	}
	return false
}

func looksLikeHeader(line []byte) bool {
	return bytes.Contains(line, []byte("Kernel Name")) && bytes.Contains(line, []byte(",")) &&
		(bytes.HasPrefix(line, []byte(`"ID"`)) || bytes.HasPrefix(line, []byte("ID,")) ||
			bytes.Contains(line, []byte("Metric Name")))
}

func read(ctx context.Context, name string, r io.Reader) (*File, error) {
	p := &parser{file: &File{Name: name}, index: map[kernelKey]int{}, runs: map[string]int64{}}
	if err := p.read(ctx, r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return p.file, nil
}

// kernelKey tells launches apart. Two pages of one report in one file name the same launches; two reports behind each
// other repeat a page.
type kernelKey struct {
	run, pid, id int64
	name         string
	grid, block  string // for summaries, which have no id
}

// field is one value as printed, until the locale of the file is known.
type field struct {
	kernel       int
	metric, unit string
	text         string
}

type parser struct {
	file    *File
	head    *header
	runs    map[string]int64 // how many headers of each page came
	index   map[kernelKey]int
	fields  []field
	skipped int // lines that are no records
	line    int
}

func (p *parser) read(ctx context.Context, r io.Reader) error {
	br := bufio.NewReaderSize(r, 64<<10)
	if err := refuse(br); err != nil {
		return err
	}
	for {
		if p.line%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		text, err := p.next(br)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if text != "" {
			if e := p.record(text); e != nil {
				return e
			}
		}
		if err != nil {
			return p.finish()
		}
	}
}

// refuse recognises files that people give instead.
func refuse(br *bufio.Reader) error {
	head, err := br.Peek(16)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case bytes.HasPrefix(head, []byte("NVR\x00")):
		return fmt.Errorf("%w: a Nsight Compute report; print it with: ncu --import FILE --page raw --csv > kernels.csv", profile.ErrUnrecognised)
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return fmt.Errorf("%w: UTF-16 text; convert it to UTF-8", profile.ErrUnrecognised)
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, err := br.Discard(3)
		return err
	case len(head) == 0:
		return fmt.Errorf("%w: the file is empty", profile.ErrUnrecognised)
	}
	return nil
}

// next returns the next record: a line, or several where a quoted field holds line breaks. Nsight Compute's own lines
// are taken out. At the end of the input err is io.EOF.
func (p *parser) next(br *bufio.Reader) (string, error) {
	var rec strings.Builder
	quotes := 0
	for {
		line, err := readLine(br)
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("line %d: %w", p.line+1, err)
		}
		p.line++
		if rec.Len() == 0 && strings.HasPrefix(line, "==") {
			p.message(line)
			if err != nil {
				return "", err
			}
			continue
		}
		// A record begins with a quote or with what was unquoted by another tool. Only in the first case may it run on.
		if rec.Len() > 0 {
			rec.WriteByte('\n')
		}
		rec.WriteString(line)
		quotes += strings.Count(line, `"`)
		if err != nil || quotes%2 == 0 || p.head == nil || rec.Len() > maxLine || !strings.HasPrefix(rec.String(), `"`) {
			return rec.String(), err
		}
	}
}

var errLine = fmt.Errorf("%w: a line longer than 8 MiB", profile.ErrMalformed)

func readLine(br *bufio.Reader) (string, error) {
	var out []byte
	for {
		part, more, err := br.ReadLine()
		if err != nil {
			return string(out), err
		}
		out = append(out, part...)
		if len(out) > maxLine {
			return "", errLine
		}
		if !more {
			return string(out), nil
		}
	}
}

// message keeps what Nsight Compute reports; its progress lines are dropped.
func (p *parser) message(line string) {
	line = strings.ToValidUTF8(line[:min(len(line), 400)], "?")
	if (strings.HasPrefix(line, "==ERROR==") || strings.HasPrefix(line, "==WARNING==")) && len(p.file.Messages) < 50 &&
		!slices.Contains(p.file.Messages, line) {
		p.file.Messages = append(p.file.Messages, line)
	}
}

// record takes one line or quoted multi-line record over.
func (p *parser) record(text string) error {
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		return nil
	}
	if looksLikeHeader([]byte(trimmed)) {
		if cols, err := split(trimmed); err == nil {
			if h := newHeader(cols); h != nil {
				if p.head = h; p.runs[h.page] == 0 {
					p.file.Pages = append(p.file.Pages, h.page)
				}
				p.runs[h.page]++
				return nil
			}
		}
	}
	if p.head == nil {
		return nil // output of the application before the table
	}
	cols, err := split(trimmed)
	if err != nil || len(cols) < 2 {
		p.skipped++
		return nil
	}
	return p.head.row(p, cols)
}

func split(text string) ([]string, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord = -1
	r.LazyQuotes = true
	return r.Read()
}

// kernel returns the index of the kernel that a row belongs to, adding it if it is new.
func (p *parser) kernel(k kernelKey, fill func(*Kernel)) (int, error) {
	k.run = p.runs[p.head.page]
	i, ok := p.index[k]
	if !ok {
		if len(p.file.Kernels) >= maxKernels {
			return 0, fmt.Errorf("%w: more than %d kernels", profile.ErrMalformed, maxKernels)
		}
		i = len(p.file.Kernels)
		v := Kernel{Device: -1, Invocations: 1, Metrics: map[string]Value{}, Line: p.line}
		fill(&v)
		v.Base = profile.BaseName(v.Name)
		p.file.Kernels = append(p.file.Kernels, v)
		p.index[k] = i
	}
	return i, nil
}

func (p *parser) value(kernel int, metric, unit, text string) error {
	text = strings.TrimSpace(text)
	if metric == "" || text == "" {
		return nil
	}
	if len(p.fields) >= maxValues {
		return fmt.Errorf("%w: more than %d values", profile.ErrMalformed, maxValues)
	}
	p.fields = append(p.fields, field{kernel, metric, unit, text})
	return nil
}

// finish reads the values in the locale that the file shows.
func (p *parser) finish() error {
	f := p.file
	if len(f.Kernels) == 0 {
		return p.nothing()
	}
	comma, sure := decimalComma(p.fields)
	if comma && !sure {
		f.Warnings = append(f.Warnings, errors.New("numbers are printed with decimal points and decimal commas; the more frequent form was taken"))
	}
	for _, v := range p.fields {
		n, ok := number(v.text, comma)
		if !ok {
			continue
		}
		x := baseUnit(Value{n, v.unit})
		m := f.Kernels[v.kernel].Metrics
		// Sections repeat metrics; the first is as good as the others.
		if _, have := m[v.metric]; !have {
			m[v.metric] = x
		}
	}
	if p.skipped > 0 {
		f.Warnings = append(f.Warnings, fmt.Errorf("%d lines that are no records were skipped", p.skipped))
	}
	return nil
}

// nothing explains a file without kernels.
func (p *parser) nothing() error {
	for _, m := range p.file.Messages {
		switch {
		case strings.Contains(m, "ERR_NVGPUCTRPERM"):
			return fmt.Errorf("%w: no kernels: the driver refuses GPU counters to this user; run ncu as root, or load the driver with "+
				"NVreg_RestrictProfilingToAdminUsers=0 (%s)", profile.ErrMalformed, m)
		case strings.Contains(m, "No kernels were profiled"):
			return fmt.Errorf("%w: no kernels were profiled: the filter matched none, or --profile-from-start off met no cudaProfilerStart", profile.ErrMalformed)
		}
	}
	if p.head != nil {
		return fmt.Errorf("%w: a table without kernels", profile.ErrMalformed)
	}
	for _, m := range p.file.Messages {
		if strings.HasPrefix(m, "==ERROR==") {
			return fmt.Errorf("%w: no table; ncu reports: %s", profile.ErrMalformed, m)
		}
	}
	return fmt.Errorf("%w: no table of Nsight Compute (make one with --csv, --page raw or details)", profile.ErrUnrecognised)
}

// triple reads "(96, 1, 1)" or "96 1 1".
func triple(s string) [3]int32 {
	s = strings.Trim(strings.TrimSpace(s), "()")
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == 'x' })
	var v [3]int32
	if len(parts) == 0 || len(parts) > 3 {
		return v
	}
	for i := range v {
		v[i] = 1
		if i < len(parts) {
			n, err := strconv.ParseInt(parts[i], 10, 32)
			if err != nil || n < 0 {
				return [3]int32{}
			}
			v[i] = int32(n)
		}
	}
	return v
}

func integer(s string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	return n, err == nil
}
