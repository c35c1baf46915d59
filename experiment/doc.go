// Package experiment tries one change of a server's settings: it measures the server as it is and with the change, in
// turns, says with statistics whether it helped, what it cost elsewhere and how far the prediction was off, and writes it
// down.
//
// Opinions:
//
//   - One knob at a time. Two changed at once prove nothing about either; it takes force, and the ledger says so.
//   - What is repeated is the start of the server, not the request: baseline, change, baseline, change. Clocks,
//     temperature and neighbours drift, and each start of one server differs from the last.
//   - When to stop is fixed before the first run (stat.Plan): looking again and again until a difference shows would
//     call too many changes a gain.
//   - A change that does not start, or kills the server under load, is a result and is written down as one.
//   - Speed is not all: memory, KV cache capacity, start-up, errors, preemptions, tails and the answers themselves are
//     watched. Equal answers to a few fixed prompts at temperature 0 are a smoke test of accuracy and no more.
//
// Servers run without a profiler. The package prints nothing.
package experiment
