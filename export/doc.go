// Package export writes a profile and its steps in formats of other tools: Perfetto's trace format, Parquet, CSV. Rows and
// events are written one after the other; memory does not grow with the profile beyond small tables. Same profile, same
// bytes.
package export
