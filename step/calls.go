package step

import (
	"github.com/stepscope/stepscope/kernel"
	"github.com/stepscope/stepscope/profile"
)

// callKinds classifies every distinct API name once.
func (a *Analysis) callKinds() []kernel.APIKind {
	if a.apiKinds == nil {
		a.apiKinds = make([]kernel.APIKind, a.P.Strings.Len())
		seen := make([]bool, a.P.Strings.Len())
		for _, n := range a.P.Calls.Name {
			if !seen[n] {
				seen[n] = true
				a.apiKinds[n] = kernel.KindOf(a.P.Strings.At(n))
			}
		}
	}
	return a.apiKinds
}

// CallKind returns the kind of an API call, classified once per function.
func (a *Analysis) CallKind(call int32) kernel.APIKind { return a.callKinds()[a.P.Calls.Name[call]] }

func (a *Analysis) isGraphLaunch(call int32) bool {
	return call != profile.None && a.CallKind(call) == kernel.APIGraphLaunch
}
