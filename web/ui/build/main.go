// Command build bundles the timeline's front end from ui/src into ui/dist, which the product embeds. It is a module of
// its own, so that the product does not depend on the bundler. Run it in this folder:
//
//	go run .          writes ../dist
//	go run . -check   fails if ../dist is not what the sources give
package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	check := flag.Bool("check", false, "compare with ../dist instead of writing")
	flag.Parse()
	if err := run("..", *check); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// run builds the front end of folder ui.
func run(ui string, check bool) error {
	files, err := bundle(ui)
	if err != nil {
		return err
	}
	dist := filepath.Join(ui, "dist")
	if check {
		return compare(dist, files)
	}
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dist, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bundle returns the files of dist by name.
func bundle(ui string) (map[string][]byte, error) {
	src := filepath.Join(ui, "src")
	res := api.Build(api.BuildOptions{
		EntryPointsAdvanced: []api.EntryPoint{
			{InputPath: filepath.Join(src, "main.ts"), OutputPath: "app"},
			{InputPath: filepath.Join(src, "app.css"), OutputPath: "app"},
		},
		Bundle: true, Write: false, Outdir: filepath.Join(ui, "dist"), Target: api.ES2022, Format: api.FormatESModule,
		MinifySyntax: true, MinifyWhitespace: true, MinifyIdentifiers: true, Charset: api.CharsetUTF8,
		LogLevel: api.LogLevelSilent,
	})
	if len(res.Errors) > 0 || len(res.Warnings) > 0 {
		text := api.FormatMessages(append(res.Errors, res.Warnings...), api.FormatMessagesOptions{})
		return nil, errors.New(strings.Join(text, ""))
	}
	files := map[string][]byte{}
	for _, f := range res.OutputFiles {
		files[filepath.Base(f.Path)] = f.Contents
	}
	for _, name := range []string{"index.html", "icon.svg"} {
		data, err := os.ReadFile(filepath.Join(src, name))
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	sums, err := sources(src)
	if err != nil {
		return nil, err
	}
	files["sources.sha256"] = sums
	return files, nil
}

// sources lists the hash of every source file, so that tests without the bundler see a bundle that is out of date.
func sources(src string) ([]byte, error) {
	var lines []string
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%x  %s\n", sha256.Sum256(data), filepath.ToSlash(rel)))
		return nil
	})
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	return []byte(strings.Join(lines, "")), err
}

// compare reports the first difference between dist and files.
func compare(dist string, files map[string][]byte) error {
	entries, err := os.ReadDir(dist)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := files[e.Name()]; !ok {
			return fmt.Errorf("dist/%s is not made from the sources", e.Name())
		}
	}
	for name, data := range files {
		have, err := os.ReadFile(filepath.Join(dist, name))
		if err != nil {
			return err
		}
		if !bytes.Equal(have, data) {
			return fmt.Errorf("dist/%s is out of date: run go run . in web/ui/build", name)
		}
	}
	return nil
}
