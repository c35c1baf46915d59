package btree

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
)

// errRefused is wrapped by everything that makes the fast path give a table up.
var errRefused = errors.New("not for the fast path")

// Info tells how a table was read.
type Info struct {
	Fast   bool   // the fast path delivered the rows
	Reason string // why it did not
}

// Sink receives the rows of one Read.
type Sink interface {
	// Begin is called before any rows. They come in parts, numbered in the order of rowid. rows is an upper bound to
	// size columns by, unless the file is damaged, and 0 if unknown. If the fast path gives up midway, Begin is called
	// a second time and everything delivered so far is void.
	Begin(parts int, rows int64)
	// Batch receives the rows of one part in order. Different parts are delivered concurrently.
	Batch(part int, b *Batch) error
}

// Read delivers the wanted columns of all rows of a table to sink, on up to workers goroutines.
func (d *Database) Read(ctx context.Context, table string, cols []Want, workers int, sink Sink) (Info, error) {
	t, err := d.Table(table)
	if err != nil {
		return Info{}, err
	}
	if t == nil {
		return Info{}, fmt.Errorf("reading %s: no table %s", d.path, table)
	}
	for _, c := range cols {
		if !t.Has(c.Name) {
			return Info{}, fmt.Errorf("reading %s: table %s has no column %s", d.path, t.Name, c.Name)
		}
	}
	info := Info{Fast: true, Reason: t.refuse}
	if t.refuse == "" {
		err := d.readFast(ctx, t, cols, max(1, min(workers, runtime.GOMAXPROCS(0))), sink)
		if err == nil {
			return info, d.unchanged()
		}
		// What looks corrupt to the fast path is decided by the library.
		if !errors.Is(err, errRefused) {
			return info, d.tableError(t, err)
		}
		info.Reason = strings.TrimSuffix(err.Error(), ": "+errRefused.Error())
	}
	info.Fast = false
	sink.Begin(1, 0)
	if err := d.readLibrary(ctx, t, cols, func(b *Batch) error { return sink.Batch(0, b) }); err != nil {
		return info, d.tableError(t, err)
	}
	return info, d.unchanged()
}

func (d *Database) tableError(t *Table, err error) error {
	if changed := d.unchanged(); changed != nil {
		return changed
	}
	return fmt.Errorf("reading %s: table %s: %w", d.path, t.Name, err)
}

// readFast walks the table's b-tree.
func (d *Database) readFast(ctx context.Context, t *Table, cols []Want, workers int, sink Sink) error {
	w := walker{file: d.file, header: d.header}
	leaves, rows, err := w.leaves(ctx, t.root)
	if err != nil {
		return err
	}
	// A part that is not worth a goroutine is not made.
	const leastPages = 64
	parts := max(1, min(workers, len(leaves)/leastPages))
	sink.Begin(parts, rows)
	read := func(ctx context.Context, part int) error {
		from, to := len(leaves)*part/parts, len(leaves)*(part+1)/parts
		dec := newDecoder(&w, t, cols, func(b *Batch) error { return sink.Batch(part, b) })
		return dec.pages(ctx, leaves[from:to], len(leaves) == 1)
	}
	if parts == 1 {
		return read(ctx, 0)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, parts)
	var wg sync.WaitGroup
	for part := range parts {
		wg.Go(func() {
			if errs[part] = read(ctx, part); errs[part] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return firstCause(errs)
}

// firstCause returns the first error that is not the echo of another one's cancellation.
func firstCause(errs []error) error {
	var echo error
	for _, err := range errs {
		if errors.Is(err, context.Canceled) {
			echo = err
		} else if err != nil {
			return err
		}
	}
	return echo
}
