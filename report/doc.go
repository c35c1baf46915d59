// Package report turns results into text for people and files for programs: plain text that fits 100 columns, Markdown,
// JSON, CSV. It writes to an io.Writer, decides nothing and computes nothing beyond scaling units: a number in a report is
// a number of the result. Same result, same bytes; colour only where the caller asks for it.
package report
