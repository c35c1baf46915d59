// Package nsys reads Nsight Systems captures into a profile.Profile: SQLite exports of every schema from 2.9 on (plain, .zst
// or .gz), Parquet exports (a folder with one file per table), and .nsys-rep reports through the user's own nsys.
//
// Exports differ by version, and lazy exports leave out tables without data, so nothing is assumed to exist: every table
// and column is looked up, what is missing takes its documented fallback (see Schema), and what the capture lacks is
// listed in Profile.NotRecorded with the option that would record it. Rows that contradict themselves (an end before the
// start, times beyond 146 years, text in an integer column) are dropped and counted in Profile.Diagnostics.
//
// The user's files and folders are never changed. Environment tables, process output and command lines, which hold
// secrets, are never read: of the capture's metadata only a fixed list of keys is.
package nsys
