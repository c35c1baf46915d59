package nsys

import (
	"context"
	"fmt"

	"github.com/stepscope/stepscope/profile"
	"github.com/stepscope/stepscope/profile/nsys/btree"
)

// stringIDs are the values of StringIds that some row refers to. The rest of that table is passed over: it also holds
// what the server printed and files that nsys keeps with the report.
type stringIDs map[int64]profile.StringID

// loadStrings reads the values of the needed ids into the profile.
func (r *reader) loadStrings(ctx context.Context, needed map[int64]bool) error {
	if len(needed) == 0 || !r.src.has(tabStrings) {
		return nil
	}
	for _, c := range []string{"id", "value"} {
		if !r.src.hasColumn(tabStrings, c) {
			return fmt.Errorf("reading %s: %w: table StringIds has no column %s", r.name, profile.ErrMalformed, c)
		}
	}
	type entry struct {
		id   int64
		text string
	}
	var list []entry
	err := r.src.scan(ctx, tabStrings, []btree.Want{{Name: "id"}, {Name: "value", Text: true}}, func(int64) { list = nil }, func(b *btree.Batch) error {
		id, value := &b.Cols[0], &b.Cols[1]
		for i := range b.Len {
			if id.Kinds[i] == btree.Int && needed[id.Ints[i]] && (value.Kinds[i] == btree.Text || value.Kinds[i] == btree.Blob) {
				list = append(list, entry{id.Ints[i], string(value.Text[i])})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range list {
		r.strings[e.id] = r.p.Strings.ID(e.text)
	}
	return nil
}

// label returns the profile's id of a row's name; an id without a string is "".
func (r *reader) label(l label) profile.StringID {
	if l.id == noString {
		return r.p.Strings.ID(l.text)
	}
	return r.strings[l.id]
}

// labelColumn translates a column of labels in place.
func (r *reader) labelColumn(l *labels, col []profile.StringID) []profile.StringID {
	to := final(l.keys, r.label)
	for i, v := range col {
		col[i] = to[v]
	}
	return col
}
