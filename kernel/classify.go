package kernel

import "strings"

// Classify says what a kernel does from its name: the demangled name of
// Nsight Systems (not the short one, which is "device_kernel" for whole
// libraries), the event name of a Kineto trace, or a mangled name.
//
// It is deterministic and costs some ten microseconds: call it once for each
// distinct name. Names that say nothing give stage Other with Confidence None
// or, for generic tensor kernels, Low.
func Classify(name string) Class {
	norm := Normalise(name)
	t := newText(norm)
	tab := loaded()
	if c, ok := classifyInductor(tab, t); ok {
		return c
	}
	for i := range tab.rules {
		r := &tab.rules[i]
		if !r.match(t) {
			continue
		}
		c := Class{
			Stage: r.stage, Op: r.op, Family: r.family, Confidence: r.confidence,
			Gemm: r.gemm,
		}
		if c.Family == "" {
			c.Family = family(tab, norm, t)
		}
		c.DType = dtype(t.lower, c)
		return c
	}
	c := Class{Stage: Other, Family: family(tab, norm, t)}
	c.DType = dtype(t.lower, c)
	return c
}

// family finds the origin of a kernel whose stage rule does not name one.
func family(tab *tables, norm string, t text) string {
	for i := range tab.families {
		if tab.families[i].match(t) {
			return tab.families[i].family
		}
	}
	// Triton kernels are plain C identifiers, with no template or parameters.
	if norm != "" && strings.IndexFunc(norm, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0 {
		return "triton"
	}
	return "other"
}

// inductorKinds are the prefixes of generated kernels: pointwise, reduction,
// persistent reduction, foreach, scan and unclassified.
var inductorKinds = []string{"triton_poi_", "triton_red_", "triton_per_", "triton_for_", "triton_spl_", "triton_unk_"}

// inductorTemplates are the prefixes of generated matrix multiplications.
var inductorTemplates = []string{"triton_tem_", "triton_mm", "triton_bmm", "triton_addmm"}

// classifyInductor handles names made by torch.compile, which list the fused
// operations. See inductor.txt for the precedence.
func classifyInductor(tab *tables, t text) (Class, bool) {
	c := Class{Family: "inductor", Confidence: Low}
	for _, prefix := range inductorTemplates {
		if !strings.HasPrefix(t.lower, prefix) {
			continue
		}
		c.Confidence = High
		if strings.Contains(t.words, " attention ") {
			c.Stage, c.Op = Attention, "flex"
			return c, true
		}
		c.Stage, c.Op, c.Gemm = Gemm, "matmul", true
		return c, true
	}
	for _, prefix := range inductorKinds {
		if !strings.HasPrefix(t.lower, prefix) {
			continue
		}
		ops := t
		ops.words = strings.TrimPrefix(t.words[len(prefix):], " fused")
		ops.index()
		for i := range tab.inductor {
			if r := &tab.inductor[i]; r.match(ops) {
				c.Stage, c.Op, c.Confidence = r.stage, r.op, High
				if r.stage == Copy || r.stage == Bookkeeping {
					c.Confidence = Low
				}
				return c, true
			}
		}
		c.Op = "pointwise"
		if prefix == "triton_red_" || prefix == "triton_per_" {
			c.Op = "reduction"
		}
		return c, true
	}
	return Class{}, false
}
