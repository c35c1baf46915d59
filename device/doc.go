// Package device knows what the hardware can do at best: GPU data sheets, roofline arithmetic over them, and the bytes
// and operations that one step of a transformer model must move and do.
//
// Opinions and guarantees:
//
//   - Peaks are dense. Vendors print rates "with sparsity" that no serving engine reaches; every figure here is without.
//     For GeForce boards the FP16, BF16 and FP8 rates are those with FP32 accumulation, because that is what serving
//     kernels use.
//   - What the capture says of its own GPU wins over the data sheet: memory bandwidth, memory size and SM count are
//     properties of the very board (a MIG slice, an export variant, a cut-down part), a table is not. [Lookup] says what
//     it adjusted, and what it did not take because no such part can have it.
//   - An unknown GPU has no limits. [Lookup] then reports OK false and near-miss names; it never guesses a peak.
//   - Quantities are per GPU, bytes are decimal or binary as the field says, rates are per second, times are
//     nanoseconds. A zero in a sheet field means that the vendor does not state it.
//
// Sources: each sheet row names the vendor document that it was taken from; the SM counts of MIG profiles are those that
// nvidia-smi mig -lgip lists. The model arithmetic follows the layer definitions of the public Hugging Face
// implementations; parameter counts are tested against published checkpoints.
package device
