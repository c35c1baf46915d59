package kernel

// AssignRoles places the kernels of one step.
//
// seq holds the kernels of one step on one stream (or of one graph launch) in
// execution order. Not yet implemented beyond the name's own stage.
func AssignRoles(seq []Launch) Roles {
	out := Roles{Kernels: make([]Assignment, len(seq))}
	for i := range seq {
		out.Kernels[i].Layer = -1
		if c := seq[i].Class; c != nil {
			out.Kernels[i].Stage = c.Stage
			out.Kernels[i].Confidence = c.Confidence
		}
	}
	return out
}
