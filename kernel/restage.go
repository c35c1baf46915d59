package kernel

// restage gives kernels whose names tell little the stage of their place.
func (a *assigner) restage() {
	for i := range a.out {
		c := a.class(i)
		o := &a.out[i]
		if o.Role != NoRole || c.Gemm {
			continue
		}
		// An implied attention core is no longer what its name said.
		if a.kinds[i] == kindCore {
			continue
		}
		// nameless: the name says how (pointwise, a reduction) but not what for.
		// unknown: it says nothing, so only a place closed on both sides counts.
		unknown := c.Stage == Other
		nameless := unknown && c.Op != ""
		generic := unknown || (c.Confidence < High && (c.Stage == Bookkeeping || c.Stage == Copy || c.Stage == Embedding))
		lookup := c.Stage == Embedding // of positions, when between qkv and the core
		switch a.region[i] {
		case regionBefore:
			if nameless {
				a.place(i, Bookkeeping, Low)
			}
		case regionQKV:
			if nameless {
				a.place(i, Norm, Low)
			}
		case regionRope:
			if nameless || lookup {
				a.place(i, Rope, Medium)
			} else if unknown {
				a.place(i, Rope, Low)
			} else if c.Op == "fill" {
				a.place(i, Attention, Low)
			}
		case regionCore, regionAttnOut:
			if unknown || c.Op == "fill" {
				a.place(i, Attention, Low)
			}
		case regionPost:
			if nameless {
				a.place(i, Norm, Low)
			}
		case regionFFN:
			if nameless {
				a.place(i, Activation, Medium)
			} else if unknown {
				a.place(i, Activation, Low)
			}
		case regionMoE:
			if generic || c.Stage == Sampling {
				a.place(i, MoE, Low)
			}
		case regionEnd:
			if nameless {
				a.place(i, Norm, Low)
			}
		case regionFinal:
			if c.Stage == Embedding && c.Confidence < High {
				a.place(i, Copy, Medium) // the rows of the tokens to sample
			} else if nameless {
				a.place(i, Norm, Low)
			}
		case regionLogits:
			if generic {
				a.place(i, Sampling, Medium)
			}
		case regionAfter:
			if nameless {
				a.place(i, Bookkeeping, Low)
			}
		}
	}
}

func (a *assigner) place(i int, s Stage, c Confidence) {
	a.out[i].Stage = s
	a.out[i].Confidence = c
}

// inherit gives split-K reductions and LoRA kernels the role of the GEMM they
// complete.
func (a *assigner) inherit() {
	gemm := -1
	for i := range a.out {
		switch a.kinds[i] {
		case kindGemm, kindMoEGemm, kindRouter:
			gemm = i
		case kindReduce:
			if gemm >= 0 && a.out[gemm].Layer == a.out[i].Layer && a.out[gemm].Pass == a.out[i].Pass {
				a.out[i].Stage = a.out[gemm].Stage
				a.out[i].Role = a.out[gemm].Role
				a.out[i].Confidence = a.out[gemm].Confidence
			}
		}
	}
}
