package step

func (a *Analysis) lifecycle() {}

// LifecyclePhase is one phase of the server's life.
type LifecyclePhase struct{}
