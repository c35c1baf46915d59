// Package ncu reads what Nsight Compute prints with --csv, lays its kernels beside those of a profile, and plans which
// kernels are worth such a run.
//
// The reader's opinion is that a counter is evidence about a kernel, not about a server: Nsight Compute replays each
// kernel tens of times at a fixed clock, with cold caches unless told otherwise. So its durations are never used as
// times of the run; what it adds is why a kernel takes the time that the profile shows. It guarantees:
//
//   - A metric that was not collected is absent, never 0 ("n/a", an empty field and "no data" are absent).
//   - Values are in base units (ns, byte, hz, percent) whatever --print-units was, and read in the locale that the file
//     itself shows.
//   - Labels of the details page ("Executed Ipc Active") and names of the raw page
//     (sm__inst_executed.avg.per_cycle_active) are one metric under the raw name.
//   - Kernels keep the order of the file. Where several kernels of a profile fit one of them, the result says so.
//
// Source of the formats: Nsight Compute CLI guide, sections on output pages and units; labels are those of the section
// files that ship with the tool.
package ncu
