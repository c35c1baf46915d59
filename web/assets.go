package web

import "embed"

// assets is the bundled front end; ui/README.md says how it is made.
//
//go:embed ui/dist
var assets embed.FS
