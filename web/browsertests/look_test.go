package browsertests

import (
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestLook(t *testing.T) {
	for _, name := range strings.Fields(os.Getenv("LOOK")) {
		p := open(t, serve(t, capture(t, name)), desktop)
		p.shot(name + "-fit")
		p.keys("p", "n")
		p.settled()
		p.shot(name + "-finding")
		p.keys("t", ".")
		p.settled()
		p.do(chromedp.SendKeys(chromedp.ID("search"), "rms_norm\r"))
		p.settled()
		p.shot(name + "-search")
		for range 3 {
			p.keys("g")
			p.settled()
		}
		p.do(chromedp.Focus(chromedp.ID("timeline")))
		p.keys("z", "s", "s", "s", "s", "s", "s", "s", "s", "s")
		p.settled()
		p.shot(name + "-kernel")
		p.clean()
	}
}
