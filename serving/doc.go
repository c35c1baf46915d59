// Package serving reads what a serving run left beside its profile: the load
// generator's result, the server's Prometheus metrics, its log, its command
// line and its OpenTelemetry spans. All of it becomes one [Run].
//
// The package has one opinion: a number is worth as much as the place it came
// from. Every single value is a [Fact], which knows its file and line or
// field, and a fact that the input lacks is not known rather than zero. Rows
// of long series (requests, log statistics) are plain numbers and use
// [NotRecorded] in place of a value they lack.
//
// Units: durations in series and phases are int64 nanoseconds (names end in
// NS); latencies of benchmark distributions are milliseconds, as every load
// generator prints them; histograms keep the unit of their metric (seconds or
// tokens); memory is GiB; rates are per second; shares are 0..1.
//
// Guarantees:
//   - a reader returns an error that names the file and the line or field, and
//     never panics on bad input; [ErrUnrecognised] means "not this format",
//     [ErrMalformed] means "this format, but broken";
//   - partial data is a [Warning] on the result, not an error;
//   - memory is bounded by the caps documented on each reader, not by the input;
//   - prompts, generated texts and secrets are not kept;
//   - the same input gives the same result, in the same order.
//
// The package imports nothing of stepscope.
package serving
