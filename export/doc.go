// Package export writes an analysed profile for other tools: a trace for the Perfetto UI and trace processor, and tables
// as Parquet or CSV for notebooks and SQL.
//
// It writes what the profile holds and invents nothing: every row of an exported table is one row of the profile, every
// slice one event; what is not recorded is absent (Perfetto) or null (tables). Output streams in bounded memory, and the
// same profile gives the same bytes. Names of the capture are written as text, made valid UTF-8 and free of control
// characters; their meaning to a spreadsheet is the reader's concern.
package export
