// Package summary computes the reports of `nsys stats` and utilisation curves from a Profile.
//
// The reports carry the names, options, columns, row order and rounding of Nsight Systems 2025.3, so that a script
// written for its CSV reads ours unchanged; goldens made by that release hold this to the byte. A report is one row of
// the table in Reports: it names the data it needs, and Run answers with a *SkippedError when the profile does not
// hold them, as `nsys stats` prints SKIPPED.
//
// Reports count every row of the profile, as nsys does: nothing is clipped to the capture window. Curves do the
// opposite: they are integrals over a window, and a bin in which nothing was recorded is "not recorded", never zero.
//
// Cost is linear in the rows of the profile, up to the nesting depth of ranges; trace reports yield their rows one by
// one and hold none of them.
package summary
