// Package kineto reads the traces that the PyTorch profiler writes: Chrome-trace JSON, plain or gzipped, from vLLM,
// SGLang, Hugging Face or any other user of torch.profiler, on CUDA and on ROCm.
//
// The reader's opinion is that a trace is evidence and that evidence is often damaged. Profilers are killed, tools cut
// files into pieces, names hold bytes that are no text. So everything that was recorded whole is read, everything that
// was not is counted, and both are said in Profile.Diagnostics; only a file that yields nothing is an error. It
// guarantees:
//
//   - Times are exact: the decimal microseconds of the file become int64 nanoseconds without passing through a float,
//     digits beyond the nanosecond are rounded half away from zero. Time 0 is the start of the window, and
//     SessionStartUnixNs is its wall-clock time where the file has a base time (or epoch timestamps).
//   - Memory grows with the events that are kept, never with the file: events are parsed out of a window of 4 MB,
//     Python frames are skipped unless Options.Stacks asks for them.
//   - Device work is told from host work by category, never by pid: a process id of 1 in a container is no GPU 1.
//   - An annotation is counted once: the copy of it that Kineto draws on the device track (gpu_user_annotation) is
//     counted in a Diagnostic and dropped.
//   - Device work joins its launch by correlation id within its file and process. Work that a graph launch started has
//     a GraphNode other than 0, profile.UnknownNode where the trace names no nodes.
//
// Kineto reports static and dynamic shared memory as one sum; it is kept in LaunchConfig.DynamicShared. A ROCm trace
// has no registers, and no grid for kernels inside graphs; these are 0, which no launch has.
//
// Source of the format: pytorch/kineto, libkineto/src/output_json.cpp and CuptiActivity.cpp.
package kineto
