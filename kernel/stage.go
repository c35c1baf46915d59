package kernel

import (
	"fmt"
	"slices"
)

// Stage is the part of a model step that a kernel belongs to. The string form
// is stable and appears in part ids of a budget as "gpu." + stage.
type Stage uint8

// The stages. The zero value is Other, so that a kernel nobody looked at is
// not counted as something it is not. Stages lists them in display order.
const (
	Other       Stage = iota // not recognised
	Embedding                // token embedding lookup
	Norm                     // RMSNorm, LayerNorm, also fused with residual, rope or quantisation
	Rope                     // rotary and other position encodings
	QKV                      // projections that feed attention (q, k, v; MLA down and up projections)
	Attention                // attention proper, its split merges, metadata and sparse indexer
	KVWrite                  // writes to and gathers from the paged KV cache
	OProj                    // attention output projection
	MLP                      // dense MLP GEMMs: gate, up, down; shared experts
	MoE                      // routing, permutation, expert GEMMs and combination
	Activation               // SiLU, GELU and similar, with the gate multiplication
	Quant                    // stand-alone quantisation, dequantisation and scaling
	LMHead                   // projection to the vocabulary
	Sampling                 // logits processing, sampling, speculative verification, grammar masks
	Collective               // communication between devices, also fused with norms
	Copy                     // copies: memcpy nodes, copy kernels, concatenation
	Bookkeeping              // step preparation: positions, block tables, fills, index arithmetic
	Gemm                     // a dense GEMM whose role is not known
	LinearAttn               // linear attention and state-space mixers (mamba, gated delta net, ...)

	// NumStages is the number of stages; Stage values are below it.
	NumStages = int(iota)
)

var stageNames = [NumStages]string{
	Other: "other", Embedding: "embedding", Norm: "norm", Rope: "rope", QKV: "qkv",
	Attention: "attention", KVWrite: "kv-write", OProj: "o-proj", MLP: "mlp", MoE: "moe",
	Activation: "activation", Quant: "quant", LMHead: "lm-head", Sampling: "sampling",
	Collective: "collective", Copy: "copy", Bookkeeping: "bookkeeping", Gemm: "gemm",
	LinearAttn: "linear-attn",
}

// Stages returns every stage in display order: the order of a step, then what
// is not part of the model, Other last. The order is stable.
func Stages() []Stage {
	return []Stage{
		Embedding, Norm, Rope, QKV, Attention, KVWrite, OProj, MLP, MoE, Activation,
		Quant, LMHead, Sampling, Collective, Copy, Bookkeeping, Gemm, LinearAttn, Other,
	}
}

// String returns the stable id, for example "kv-write".
func (s Stage) String() string { return enumName(stageNames[:], uint8(s), "stage") }

// MarshalText returns the stable id; it fails on a value that is no stage.
func (s Stage) MarshalText() ([]byte, error) { return marshalEnum(stageNames[:], uint8(s), "stage") }

// UnmarshalText accepts the ids of String.
func (s *Stage) UnmarshalText(text []byte) error {
	return unmarshalEnum(stageNames[:], text, "stage", (*uint8)(s))
}

// Confidence grades an answer. None is the zero value: no claim is made.
type Confidence uint8

// The grades, from no claim to certain enough to build a verdict on.
const (
	None   Confidence = iota // no claim
	Low                      // a guess from weak evidence
	Medium                   // the expected answer, with one anchor missing
	High                     // an unambiguous name, or all anchors agree
)

var confidenceNames = [...]string{None: "none", Low: "low", Medium: "medium", High: "high"}

// String returns none, low, medium or high.
func (c Confidence) String() string { return enumName(confidenceNames[:], uint8(c), "confidence") }

// MarshalText returns the same word as String.
func (c Confidence) MarshalText() ([]byte, error) {
	return marshalEnum(confidenceNames[:], uint8(c), "confidence")
}

// UnmarshalText accepts the words of String.
func (c *Confidence) UnmarshalText(text []byte) error {
	return unmarshalEnum(confidenceNames[:], text, "confidence", (*uint8)(c))
}

// Role is the finer function of a GEMM within its stage.
type Role uint8

// The roles. NoRole is the zero value: not a GEMM, or a GEMM of unknown role.
const (
	NoRole           Role = iota
	RoleQKV               // fused or separate q, k and v projections
	RoleMLAQKVA           // multi-head latent attention: down projections of q and kv
	RoleMLAQB             // multi-head latent attention: up projections and absorbed batched GEMMs before attention
	RoleMLAVB             // multi-head latent attention: value up projection after attention
	RoleO                 // attention output projection
	RoleGateUp            // MLP gate and up projections (or the single up projection)
	RoleDown              // MLP down projection
	RoleRouter            // MoE router (gate) logits
	RoleExpertGateUp      // routed experts, first GEMM
	RoleExpertDown        // routed experts, second GEMM
	RoleExperts           // routed experts, both GEMMs in one kernel
	RoleSharedGateUp      // shared experts, first GEMM
	RoleSharedDown        // shared experts, second GEMM
	RoleLinearIn          // input projections of a linear-attention or state-space mixer
	RoleLinearOut         // output projection of such a mixer
	RoleLMHead            // vocabulary projection
	RoleDraftIn           // input projection of a speculative draft model

	numRoles = int(iota)
)

var roleNames = [numRoles]string{
	NoRole: "", RoleQKV: "qkv", RoleMLAQKVA: "mla_qkv_a", RoleMLAQB: "mla_q_b", RoleMLAVB: "mla_v_b",
	RoleO: "o", RoleGateUp: "gate_up", RoleDown: "down", RoleRouter: "router",
	RoleExpertGateUp: "expert_gate_up", RoleExpertDown: "expert_down", RoleExperts: "experts",
	RoleSharedGateUp: "shared_gate_up", RoleSharedDown: "shared_down",
	RoleLinearIn: "linear_in", RoleLinearOut: "linear_out", RoleLMHead: "lm_head", RoleDraftIn: "draft_in",
}

// String returns the id, for example "gate_up"; it is empty for NoRole.
func (r Role) String() string { return enumName(roleNames[:], uint8(r), "role") }

// MarshalText returns the same text as String.
func (r Role) MarshalText() ([]byte, error) { return marshalEnum(roleNames[:], uint8(r), "role") }

// UnmarshalText accepts the ids of String.
func (r *Role) UnmarshalText(text []byte) error {
	return unmarshalEnum(roleNames[:], text, "role", (*uint8)(r))
}

// Stage returns the stage whose time a GEMM of this role counts to.
//
// Input and output projections of linear-attention mixers count as qkv and
// o-proj, since they are the same kind of work in the same place; shared
// experts count as mlp, since no routing takes part in them.
func (r Role) Stage() Stage {
	switch r {
	case RoleQKV, RoleMLAQKVA, RoleMLAQB, RoleLinearIn:
		return QKV
	case RoleO, RoleMLAVB, RoleLinearOut:
		return OProj
	case RoleGateUp, RoleDown, RoleSharedGateUp, RoleSharedDown:
		return MLP
	case RoleRouter, RoleExpertGateUp, RoleExpertDown, RoleExperts:
		return MoE
	case RoleLMHead:
		return LMHead
	default:
		return Gemm
	}
}

func enumName(names []string, v uint8, kind string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%s(%d)", kind, v)
}

func marshalEnum(names []string, v uint8, kind string) ([]byte, error) {
	if int(v) >= len(names) {
		return nil, fmt.Errorf("encoding %s: no value %d", kind, v)
	}
	return []byte(names[v]), nil
}

func unmarshalEnum(names []string, text []byte, kind string, v *uint8) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("decoding %s: unknown id %.40q", kind, text)
	}
	*v = uint8(i)
	return nil
}
