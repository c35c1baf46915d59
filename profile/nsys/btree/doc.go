// Package btree reads whole tables of a SQLite database into column batches and never changes the database.
//
// Profiles are a few huge tables that are read once, front to back, a handful of columns each. For that a SQL engine is
// the wrong tool: most of its time goes into stepping a virtual machine row by row. So a table is read by walking the
// leaf pages of its b-tree and decoding only the wanted columns (the fast path); the SQL engine, a pure Go build of
// SQLite, stays the judge of what the file means. It opens every file, answers for the schema, and reads every table
// that the fast path refuses. The fast path refuses whatever it was not written for, so that both give the same answer
// or one of them gives none: that law is tested against files of every kind and fuzzed.
//
// Guarantees:
//
//   - The file and its directory stay as they are: no lock, no -wal, -shm or -journal file, no write. A database with a
//     write-ahead log or a journal that holds content is read through a private copy.
//   - Bad input ends in an error. Every offset is checked, chains and trees are bounded by the size of the file, memory
//     is bounded by the batch. Pages are read with ReadAt instead of a memory map: a file that shrinks while it is read
//     gives an error where a map would kill the process, and the resident memory does not grow with the file. Measured
//     on cached files, that costs 0.06 CPU seconds a gigabyte more than a map.
//   - Rows come in the order of the table's rowid.
package btree
