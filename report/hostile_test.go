package report

import (
	"bytes"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stepscope/stepscope/diagnose"
	"github.com/stepscope/stepscope/internal/proftest"
	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/serving"
	"github.com/stepscope/stepscope/step"
)

// hostileTexts are names as a capture may hold them: kernel and NVTX names, paths and command lines are anyone's.
var hostileTexts = []string{
	`<img src=x onerror=alert(1)>`,
	`</script><script>alert(2)</script>`,
	`</title></style><style>*{background:url(//evil.example)}</style>`,
	`"'><svg onload=alert(3)>`,
	"`` ` @octocat #12 GH-7 [x](javascript:alert(4)) ![i](http://evil.example/x.png)",
	`https://evil.example www.evil.example a@evil.example :tada: | \| \\| c`,
	"line\n- break\r\n# head\x00\x1b[31m\u202egpj\u2066",
	`{{.Verdict}} ${alert(5)} <!-- --> --> ]]> &lt;b&gt; <details>`,
	strings.Repeat("kernel<", 4000),
	"\xff\xfe<b>\xc0",
}

// hostile fills every string that it reaches with hostile texts, and lists with entries.
func hostile(v reflect.Value, n *int) {
	switch v.Kind() {
	case reflect.String:
		*n++
		v.SetString(hostileTexts[*n%len(hostileTexts)])
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		hostile(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				hostile(v.Field(i), n)
			}
		}
	case reflect.Slice:
		s := reflect.MakeSlice(v.Type(), 3*len(hostileTexts), 3*len(hostileTexts))
		for i := range s.Len() {
			hostile(s.Index(i), n)
		}
		v.Set(s)
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		for _, k := range append([]string{"decode", "mixed"}, hostileTexts[0], hostileTexts[3]) {
			x := reflect.New(v.Type().Elem()).Elem()
			hostile(x, n)
			m.SetMapIndex(reflect.ValueOf(k), x)
		}
		v.Set(m)
	case reflect.Float64:
		*n++
		v.SetFloat([]float64{1.5, math.NaN(), math.Inf(1), -3, 1e300, 0}[*n%6])
	case reflect.Int64, reflect.Int, reflect.Int32:
		*n++
		v.SetInt([]int64{7, -1, math.MaxInt32, 0}[*n%4])
	case reflect.Bool:
		v.SetBool(true)
	}
}

func hostileDiagnosis() *diagnose.Diagnosis {
	d := &diagnose.Diagnosis{}
	n := 0
	hostile(reflect.ValueOf(d).Elem(), &n)
	for i := range d.Findings {
		d.Findings[i].Severity = diagnose.Severity(i % 4)
		if i%2 == 0 {
			d.Findings[i].Caused = ""
		}
	}
	d.Budget.WallNs = 1000
	for i := range d.Budget.Parts {
		d.Budget.Parts[i].Ns = 100
	}
	d.TypicalStep.DurNs = 1000
	d.Limits.Peak.BandwidthBytesPerS, d.Limits.Peak.FLOPs = 3e12, 1e15
	return d
}

// hostileProfile runs hostile names through steps, timeline and counters.
func hostileAnalysis(t testing.TB) *step.Analysis {
	b := proftest.NewBuilder(10_000_000)
	for i := range 20 {
		at := int64(i) * 400_000
		b.Range("execute_context_0(0)_generation_8(8)", at, at+100_000)
		b.Range(hostileTexts[i%len(hostileTexts)], at+1, at+50_000)
		b.Launch(hostileTexts[i%len(hostileTexts)], at+2000, at+20_000, at+200_000)
		b.Launch("sample"+hostileTexts[(i+3)%len(hostileTexts)], at+9000, at+210_000, at+300_000)
	}
	p := b.Build(t)
	p.Source, p.Producer = hostileTexts[0], hostileTexts[1]
	for i := range p.Processes {
		p.Processes[i].Name = hostileTexts[2]
	}
	p.Counters = []profile.Counter{{Name: "SMs Active" + hostileTexts[3], Unit: "percent", Times: []int64{1, 2_000_000, 4_000_000}, Values: []int64{50, -9, 1 << 62}}}
	return step.Analyze(p, step.Options{})
}

func hostileRun() *serving.Run {
	r := &serving.Run{}
	n := 0
	r.Bench = &serving.Bench{}
	hostile(reflect.ValueOf(r.Bench).Elem(), &n)
	r.Delta = &serving.MetricsDelta{}
	hostile(reflect.ValueOf(r.Delta).Elem(), &n)
	return r
}

func TestMarkdownHostile(t *testing.T) {
	var b bytes.Buffer
	if err := Markdown(&b, hostileDiagnosis()); err != nil {
		t.Fatal(err)
	}
	checkMarkdown(t, b.String())
}

var mdAllowed = regexp.MustCompile(`<!-- -->|</?details>|</?summary>`)

// withoutCode removes the code spans of a line, as CommonMark reads them.
func withoutCode(line string) string {
	var b strings.Builder
	for i := 0; i < len(line); {
		if line[i] == '\\' && i+1 < len(line) {
			b.WriteString(line[i : i+2])
			i += 2
			continue
		}
		if line[i] != '`' {
			b.WriteByte(line[i])
			i++
			continue
		}
		n := len(line[i:]) - len(strings.TrimLeft(line[i:], "`"))
		end := -1
		for j := i + n; j < len(line); {
			k := len(line[j:]) - len(strings.TrimLeft(line[j:], "`"))
			if k == n {
				end = j + k
				break
			}
			j += max(1, k)
		}
		if end < 0 {
			end = i + n // no code span: the ticks are text
		}
		i = end
	}
	return b.String()
}

// checkMarkdown finds markup that no line of the report itself makes.
func checkMarkdown(t *testing.T, text string) {
	t.Helper()
	columns := -1
	fence := ""
	for i, line := range strings.Split(text, "\n") {
		if f := strings.TrimLeft(line, " "); strings.HasPrefix(f, "```") {
			ticks := f[:len(f)-len(strings.TrimLeft(f, "`"))]
			if fence == "" {
				fence = ticks
			} else if f == fence {
				fence = ""
			}
			continue
		}
		if fence != "" {
			continue
		}
		bare := mdAllowed.ReplaceAllString(withoutCode(line), "\x00")
		if strings.ContainsAny(bare, "<") {
			t.Errorf("line %d has markup: %.200q", i+1, line)
		}
		for _, bad := range []string{"@octocat", "#12", "GH-7", "://", "www.evil", ":tada:", "a@evil"} {
			if strings.Contains(bare, bad) {
				t.Errorf("line %d holds %q as text: %.200q", i+1, bad, line)
			}
		}
		if regexp.MustCompile(`(^|[^\\])[\[\]]`).MatchString(bare) {
			t.Errorf("line %d has a link: %.200q", i+1, line)
		}
		if !strings.HasPrefix(line, "|") {
			columns = -1
			continue
		}
		// A pipe after an odd number of backslashes is text.
		n := len(regexp.MustCompile(`\\.`).ReplaceAllString(line, "")) - len(strings.ReplaceAll(regexp.MustCompile(`\\.`).ReplaceAllString(line, ""), "|", ""))
		if columns >= 0 && n != columns {
			t.Errorf("line %d has %d cells, its table %d: %.300q", i+1, n-1, columns-1, line)
		}
		columns = n
	}
}
