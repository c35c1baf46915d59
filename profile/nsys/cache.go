package nsys

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// What the cache of exports keeps: an export is made again in seconds to minutes, and is two to five times the report's
// size.
const (
	cacheAge   = 30 * 24 * time.Hour // since the last use
	cacheBytes = 20 << 30
	cacheFresh = time.Hour // what was used since may be in use by another process
)

// cacheDir returns the folder for exports and what is to be done with it at the end. Without a home there is no cache but
// a private folder for this one time: a well-known place in a shared folder could be somebody else's.
func cacheDir(dir string) (string, func(), error) {
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			dir, err := os.MkdirTemp("", "stepscope-")
			if err != nil {
				return "", nil, fmt.Errorf("making a temporary folder: %w", err)
			}
			return dir, func() { os.RemoveAll(dir) }, nil
		}
		dir = filepath.Join(base, "stepscope", "nsys")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("making the cache folder: %w", err)
	}
	return dir, func() {}, nil
}

// reExport is the name of an export in the cache: nothing else is ours to remove.
var reExport = regexp.MustCompile(`^[0-9a-f]{32}\.sqlite$`)

// prune removes exports that were not used for long, and the ones that were not used for longest while there are too many
// bytes. What was left by a killed export goes too. keep stays, and so does whatever cannot be removed.
func prune(dir, keep string, now time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	type export struct {
		path string
		size int64
		used time.Time
	}
	var all []export
	var total int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if match, _ := filepath.Match("export-*", e.Name()); match && e.IsDir() && now.Sub(info.ModTime()) > cacheAge {
			os.RemoveAll(path)
			continue
		}
		if e.Type()&fs.ModeType != 0 || !reExport.MatchString(e.Name()) || path == keep {
			continue
		}
		all = append(all, export{path, info.Size(), info.ModTime()})
		total += info.Size()
	}
	if info, err := os.Stat(keep); err == nil {
		total += info.Size()
	}
	slices.SortFunc(all, func(x, y export) int { return cmp.Or(x.used.Compare(y.used), cmp.Compare(x.path, y.path)) })
	for _, e := range all {
		idle := now.Sub(e.used)
		if idle <= cacheAge && (total <= cacheBytes || idle <= cacheFresh) {
			continue
		}
		if os.Remove(e.path) == nil {
			total -= e.size
		}
	}
}
