// Package pdktest drives one plugin without a data plane: it checks and completes a
// config as the Admin API does, builds it, runs its phases in order over an exchange
// and shows what the upstream and the client get.
//
//	p := pdktest.Build(t, pdktest.Options{Plugin: keyauth.Plugin, Config: `{"realm":"x"}`, Entities: ...})
//	r := p.Do(pdktest.Request{Path: "/?apikey=k"})
//	r.Status, r.Body, r.Exchange.Consumer
//
// It is for tests only, also for those of plugins outside this tree.
package pdktest
