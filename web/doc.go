// Package web shows an analysis as a timeline in the browser.
//
// A Model holds the lanes: rows of disjoint spans over the columns of the profile, each with a mipmap, and curves. A tile
// is what one lane shows of a power-of-two stretch of time in 512 bins: spans that are wide enough to see one by one, and
// for the rest the exact time that each category takes of each bin. So a tile has a bounded size at every zoom and
// nothing in it is sampled or guessed; docs/tile-format.md describes its bytes.
//
// Serve publishes a Model on loopback. Every path begins with a secret token; Host, Origin and fetch metadata are checked,
// so that no page of another site can read the profile; only GET works; names of the capture are data everywhere and never
// markup. Nothing is fetched from elsewhere. The front end (ui) is TypeScript, bundled ahead and embedded.
package web
