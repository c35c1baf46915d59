//go:build race

package scale

// Race reports whether the race detector is on. It slows the SQL engine down fifty times, so that tests which compare
// whole captures with it take one of many then.
const Race = true
