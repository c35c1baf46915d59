package main

import (
	"strings"
	"testing"
)

func TestBundleMatchesItsSources(t *testing.T) {
	if err := run("..", true); err != nil {
		t.Error(err)
	}
}

func TestCompareSeesAChange(t *testing.T) {
	files, err := bundle("..")
	if err != nil {
		t.Fatal(err)
	}
	files["app.js"] = append(files["app.js"], ' ')
	if err := compare("../dist", files); err == nil || !strings.Contains(err.Error(), "app.js") {
		t.Errorf("a changed bundle passes: %v", err)
	}
	delete(files, "app.css")
	if err := compare("../dist", files); err == nil {
		t.Error("a file without a source passes")
	}
}

func TestBundleIsSmall(t *testing.T) {
	files, err := bundle("..")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(files["app.js"]); n > 120<<10 {
		t.Errorf("app.js has %d bytes", n)
	}
}
