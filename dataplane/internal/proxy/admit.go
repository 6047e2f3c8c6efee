package proxy

import "github.com/sluice-gateway/sluice/shared/pdk"

// headerOverload says which limit of the upstream a request was refused for.
const headerOverload = "X-Sluice-Overload"

// holds are what an exchange has counted at its upstream and must give back.
type holds struct {
	peer, limit bool
}

// admit asks the upstream's limits, and ends the exchange when it is not let in.
func (w *walk) admit(x *pdk.Exchange) bool {
	if w.up == nil {
		return true
	}
	admitted, why := w.up.Admit(w.context())
	if why != "" {
		x.Response.Header.Set(headerOverload, string(why))
		_ = x.Fail(503, "upstream has no capacity for the request")
		x.Source = pdk.SourceError
		return false
	}
	w.held.limit = admitted
	return true
}

// done takes the request off its target.
func (w *walk) done() {
	if w.held.peer {
		w.peer.Done()
		w.held.peer = false
	}
}

// leave gives back all that the exchange has counted, once its response has ended.
func (w *walk) leave() {
	w.done()
	if w.held.limit {
		w.up.Leave()
		w.held.limit = false
	}
}
