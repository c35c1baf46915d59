package report

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/stepscope/stepscope/diagnose"
)

// counted is a number with the words for one or for several of the things.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// noFindings says what no alarm means: without steps nothing was judged.
func noFindings(d *diagnose.Diagnosis) string {
	if d.Steps.Count == 0 {
		return "No engine steps are in this capture, so there is nothing to judge."
	}
	return "No limit worth fixing was found in this capture."
}

// noAdvice says where to read on when no change can be advised, and that a side note needs none.
func noAdvice(f *diagnose.Finding) string {
	if f.ID == diagnose.KVCacheLimited && f.Severity < diagnose.Medium {
		return "Nothing to change; see stepscope diagnose --explain " + f.ID
	}
	return "No setting is known to change it; see stepscope diagnose --explain " + f.ID
}

// joinItems puts neighbouring items of a checklist that cannot be shown for one reason into one.
func joinItems(items []diagnose.CheckItem) []diagnose.CheckItem {
	var out []diagnose.CheckItem
	for i := 0; i < len(items); {
		n := 1
		for i+n < len(items) && items[i].State == "not recorded" && items[i+n].State == items[i].State && items[i+n].Text == items[i].Text {
			n++
		}
		c := items[i]
		if n > 2 {
			names := make([]string, n)
			for k := range names {
				names[k] = items[i+k].Item
			}
			c.Item, c.Text = counted(n, "item", "items"), c.Text+" ("+strings.Join(names, ", ")+")"
		} else {
			n = 1
		}
		out = append(out, c)
		i += n
	}
	return out
}

// joinWithin joins parts into lines of at most width characters; a part that is longer is cut.
func joinWithin(parts []string, sep string, width int) []string {
	lines := []string{""}
	for i, p := range parts {
		p = Cut(p, width)
		last := &lines[len(lines)-1]
		switch {
		case i == 0:
			*last = p
		case utf8.RuneCountInString(*last+sep+p) <= width:
			*last += sep + p
		default:
			lines = append(lines, p)
		}
	}
	return lines
}

// gpuKinds lists the GPUs that worked, those of one kind in one entry: "2 x NVIDIA H100".
func gpuKinds(d *diagnose.Diagnosis) []string {
	var kinds []string
	count := map[string]int{}
	for _, g := range d.Profile.GPU {
		if g.Name == "" {
			continue
		}
		if count[g.Name]++; count[g.Name] == 1 {
			kinds = append(kinds, g.Name)
		}
	}
	for i, k := range kinds {
		if n := count[k]; n > 1 {
			kinds[i] = fmt.Sprintf("%d x %s", n, k)
		}
	}
	return kinds[:min(len(kinds), 4)]
}

// parallel says how many engines and ranks were seen, "" for one of one.
func parallel(e *diagnose.EngineFacts) string {
	engines, ranks := max(1, e.Engines), max(1, e.Ranks)
	switch {
	case engines == 1 && ranks == 1:
		return ""
	case engines == 1:
		return fmt.Sprintf("1 engine of %d ranks", ranks)
	case ranks == 1:
		return fmt.Sprintf("%d engines of 1 rank", engines)
	}
	return fmt.Sprintf("%d engines of up to %d ranks", engines, ranks)
}
