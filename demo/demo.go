// Package demo holds one real capture, so that the program shows what it does without a GPU: vLLM 0.24.0 serving a
// Llama-3.2-1B shape on an H100 with --enforce-eager, eight clients. The GPU is busy 12 % of the time, because every step
// is launched kernel by kernel. See SOURCE for how it was taken.
package demo

import (
	"embed"
	"io/fs"
)

//go:embed eager1b-G
var files embed.FS

// Name is the capture's name.
const Name = "eager1b-G"

// FS returns the capture folder: profile.sqlite.zst with the benchmark, metrics, log and command beside it.
func FS() fs.FS {
	sub, err := fs.Sub(files, Name)
	if err != nil {
		panic("demo: embedded folder is missing: " + err.Error())
	}
	return sub
}
