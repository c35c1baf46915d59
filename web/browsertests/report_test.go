package browsertests

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/stepscope/stepscope/compare"
	"github.com/stepscope/stepscope/demo"
	"github.com/stepscope/stepscope/internal/captest"
	"github.com/stepscope/stepscope/report"
)

// maxReport is the size of a report that can be mailed.
const maxReport = 2_000_000

// TestReports opens the one-file reports of a diagnosis and of a comparison as a person does who was sent them: from disk.
func TestReports(t *testing.T) {
	r := captest.Diagnose(t, demo.Name, captest.Options{})
	side := compare.Side{Name: "demo", Run: r.Run, Analysis: r.Analysis, Diagnosis: r.Diagnosis}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"diagnose": func(b *bytes.Buffer) error {
			return report.HTML(b, report.HTMLInput{Diagnosis: r.Diagnosis, Analysis: r.Analysis, Run: r.Run, Context: r.Context})
		},
		"compare": func(b *bytes.Buffer) error {
			return report.CompareHTML(b, report.CompareHTMLInput{Comparison: compare.Compare(side, side, compare.Options{}), Before: side, After: side})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			if b.Len() >= maxReport {
				t.Errorf("%d bytes, %d allowed", b.Len(), maxReport)
			}
			file := filepath.Join(t.TempDir(), "report.html")
			if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			// The checker is not part of the page, so the page's policy is set aside for it; TestBrowser of package report runs with it.
			p := openTab(t, desktop, commandAction(cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: true}))
			p.do(chromedp.Navigate("file://" + file))
			p.until("the report", `document.readyState === "complete"`)
			p.shot("light")
			p.axe("light")
			call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
			p.shot("dark")
			p.axe("dark")
			call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
			p.shot("print")
			if w := eval[int](p, "document.documentElement.scrollWidth"); w > desktop.w {
				t.Errorf("the page is %d pixels wide", w)
			}
			p.mu.Lock()
			for _, r := range p.requests {
				if !strings.HasPrefix(r, "file://"+file) && !strings.HasPrefix(r, "data:") {
					t.Errorf("the report asked for %s", r)
				}
			}
			p.mu.Unlock()
			p.clean()
		})
	}
}
