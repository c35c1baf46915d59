package btree

// Kind is the storage class of one value.
type Kind uint8

// Storage classes. A column's declared type does not bind its values: any of them may be in any column.
const (
	Null Kind = iota
	Int
	Real
	Text
	Blob
)

// Want names a column to read.
type Want struct {
	Name string
	Text bool // deliver the bytes of texts and blobs
}

// batchRows is the number of rows of a full batch: at twenty columns it fits a second-level cache.
const batchRows = 2048

// arenaSize bounds the bytes that a batch keeps outside of the pages it was read from.
const arenaSize = 1 << 20

// Batch is a run of rows of one table, in the order of rowid. It and all its slices are valid only until the function
// that received it returns.
type Batch struct {
	Len   int
	Rowid []int64
	Cols  []Vector // in the order of the wanted columns

	ints  []int64 // the columns' Ints and Kinds one after the other, batchRows each
	kinds []Kind
}

// Vector is one column of a batch. Its slices are longer than Batch.Len.
type Vector struct {
	Kinds []Kind
	// Ints holds the value of an Int, the IEEE 754 bits of a Real, and 0 for everything else.
	Ints []int64
	// Text holds the bytes of a Text or Blob if they were wanted. The slice itself is nil if they were not; an element
	// of another kind is undefined.
	Text [][]byte
	// Seen has bit 1<<kind set for every kind that occurs in the batch.
	Seen uint8
}

// AllInts reports whether every value of the batch is an integer.
func (v *Vector) AllInts() bool { return v.Seen&^(1<<Int) == 0 }

func newBatch(cols []Want) *Batch {
	b := &Batch{
		Rowid: make([]int64, batchRows), Cols: make([]Vector, len(cols)),
		ints: make([]int64, batchRows*len(cols)), kinds: make([]Kind, batchRows*len(cols)),
	}
	for i, c := range cols {
		at := i * batchRows
		b.Cols[i].Ints = b.ints[at : at+batchRows : at+batchRows]
		b.Cols[i].Kinds = b.kinds[at : at+batchRows : at+batchRows]
		if c.Text {
			b.Cols[i].Text = make([][]byte, batchRows)
		}
	}
	return b
}

func (b *Batch) reset() {
	b.Len = 0
	for i := range b.Cols {
		b.Cols[i].Seen = 0
	}
}
