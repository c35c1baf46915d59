package report

import (
	"fmt"
	"strings"

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

// noAdvice says where to read on when no change can be advised.
func noAdvice(id string) string {
	return "No setting is known to change it; see stepscope diagnose --explain " + id
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
