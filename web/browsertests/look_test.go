package browsertests

import (
	"os"
	"strings"
	"testing"
)

// TestLook takes pictures of the captures named in LOOK, for people.
func TestLook(t *testing.T) {
	names := strings.Fields(os.Getenv("LOOK"))
	if len(names) == 0 {
		t.Skip("LOOK names no captures")
	}
	for _, name := range names {
		p := open(t, serve(t, capture(t, name)), desktop)
		p.shot(name + "-open")
		p.keys("n", "p")
		p.settled()
		p.shot(name + "-finding")
		p.clean()
	}
}
