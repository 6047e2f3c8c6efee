// Package pdk is the contract between a plugin and the gateway.
//
// A plugin is a value: a name, a priority, a schema for its config, and a Build
// function that turns one decoded config into Phases. A nil phase does not run
// and costs nothing. The control plane calls Build on every write, with an Env
// that does nothing, so that a config which no data plane could load is refused
// at the Admin API; a data plane calls Build when it makes a plan.
//
// An Exchange is one request and its response on their way through the gateway.
// Exchange, Request, Response and Header are concrete and pooled: they, and
// every string got from them, are valid until the exchange is released after
// the log phase. Whoever keeps a string longer clones it (strings.Clone).
//
// The order of phases is rewrite, access, (upstream), header filter, body
// filter, log. Phases run in descending priority. After Exit the header filter,
// body filter and log phases run, the rest does not.
//
// The package refuses to know engines, gRPC and stores.
package pdk
