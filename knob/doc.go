// Package knob knows what an inference engine can be told: the flags, environment variables, metrics and profiler options
// of vLLM 0.8 to 0.33, a small part of SGLang's, and those of the profilers; what each does and trades, its default, what
// it needs, and which finding it answers in which direction.
//
// Opinions and guarantees:
//
//   - A name is real in some versions only. Presence was read from released packages of the versions in [Inspected]; a
//     change between two of them is dated "between", and what is not certain for a version is not advised for it.
//   - Names that guides get wrong are data too: [Lookup] answers them with the real name and the reason.
//   - A setting is read from the command line or the log of the very server, never assumed; what is not set falls back to
//     the default of that version and GPU, and [DefaultFor] says when it does not know.
//   - Secrets in command lines are masked in every text that this package returns.
//
// The catalogue's texts are the project's own; sources are the option definitions of the released packages.
package knob
