package btree

import "context"

// LeavesOf gives the benchmark's yardstick the pages of a table.
func LeavesOf(path, table string) ([]uint32, error) {
	ctx := context.Background()
	d, err := Open(ctx, path, Options{})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	t, err := d.Table(table)
	if err != nil {
		return nil, err
	}
	w := walker{file: d.file, header: d.header}
	leaves, _, err := w.leaves(ctx, t.root)
	return leaves, err
}
