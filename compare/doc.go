// Package compare says what is different between two runs of a server, per unit of work, and what else differed beside
// the change that was meant.
//
// It holds an opinion. The length of a capture says nothing, so everything is told per step of the same composition, per
// token, per call of a kernel or per second of serving; two captures of different length over the same server are the
// same. A difference counts only when a test supports it and when it is larger than what two runs of one server are
// apart anyway; a single number on each side is "unclear", unless it passes one of the named thresholds of the workflow
// (a latency that changed by a factor of two). Every metric carries its own verdict, test, sample sizes and warnings.
//
// Steps of one capture, and requests of one burst, follow each other and are alike: they are put together into blocks of
// the length over which they are correlated, and the blocks are what is compared. The interval then speaks of this pair
// of captures. That another start of the same server would give other numbers is covered by the smallest effect that
// counts, which depends on how much of the time is the GPU's (repeats within a few per cent) and how much the host's
// (does not); repeated runs, compared with Runs, need no such allowance.
//
// The package reads no file and no clock. It knows nothing of knobs: settings come in as data.
package compare
