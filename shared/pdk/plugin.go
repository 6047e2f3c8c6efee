package pdk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin describes one plugin. It is immutable once registered.
type Plugin struct {
	// Name as users write it, such as "key-auth".
	Name string
	// Version of the plugin; "" means the product's API level.
	Version string
	// Priority orders plugins, higher first; equal ones run in reverse alphabetical order.
	Priority int
	// Schema of the plugin: the fields protocols, consumer, route, service and config.
	Schema *schema.Schema
	// Build makes the phases of one config. Use the Build function to make it.
	Build BuildFunc
	// Entities that the plugin brings along, such as its credentials.
	Entities []*entity.Def
	// Endpoints that the plugin adds to the Admin API.
	Endpoints []Endpoint
	// Command answers a control plane's command on a node, nil when there is none.
	// It must be safe for concurrent use. The result is encoded as JSON.
	Command func(ctx context.Context, node Node, name string, arguments json.RawMessage) (any, error)
	// Metrics appends what the plugin has measured on a node to b, in Prometheus' text
	// format; nil when it measures nothing. The names must not be those of another plugin.
	// It must be safe for concurrent use.
	Metrics func(node Node, b []byte) []byte
}

// BuildFunc decodes config, a JSON object that has passed the schema, and makes
// the phases. An error refuses the config; a *schema.Violation names fields.
type BuildFunc func(env Env, config json.RawMessage) (Phases, error)

// Build adapts a function with a typed config to a BuildFunc.
func Build[C any](build func(env Env, config C) (Phases, error)) BuildFunc {
	return func(env Env, raw json.RawMessage) (Phases, error) {
		var c C
		if err := json.Unmarshal(raw, &c); err != nil {
			return Phases{}, fmt.Errorf("decode config: %w", err)
		}
		return build(env, c)
	}
}

// Phases are what one plugin config does. A nil function does not run.
//
// Lines of the response header are set in HeaderFilter, or in Access by a plugin that
// ends the exchange there: what is in the response header before an upstream answers
// may be lost.
//
// A non-nil error is a fault of the plugin: it is logged and answered with 500.
// It is not control flow; use Exchange.Exit to end an exchange.
type Phases struct {
	// Certificate runs in a TLS handshake when the client has said which server it wants,
	// for global configs only and not when a session is resumed. All that the exchange has
	// are Peer, Client, Local and SNI of its request, and its View; it ends with the handshake,
	// which an error or Exit refuses.
	Certificate func(x *Exchange) error
	// Rewrite runs before routing, for global configs only.
	Rewrite func(x *Exchange) error
	// Access runs after routing and before the upstream is called.
	Access func(x *Exchange) error
	// HeaderFilter runs when the response head is known and before it is written.
	HeaderFilter func(x *Exchange) error
	// BodyFilter sees each piece of the response body, may return another one in
	// its place, and is called once more with last set at the end. The piece is
	// valid during the call. last does not come when the body ended too early. The
	// response loses its Content-Length, unless KeepsBody of all that run is set.
	BodyFilter func(x *Exchange, piece []byte, last bool) ([]byte, error)
	// KeepsBody says that BodyFilter returns each piece as it got it.
	KeepsBody bool
	// Log runs after the response was sent. It must not block.
	Log func(x *Exchange)
}

// Endpoint is an Admin API endpoint of a plugin.
type Endpoint struct {
	// Method such as http.MethodGet.
	Method string
	// Path with {name} parts, such as "/proxy-cache/{key}".
	Path string
	// Handle answers a request; params holds the {name} parts. A nil body sends none.
	Handle func(ctx context.Context, fleet Fleet, params map[string]string, r *http.Request) (status int, body any, err error)
}

// Fleet lets an Admin API endpoint ask the connected nodes.
type Fleet interface {
	// Broadcast sends a command to all connected nodes and waits for their answers
	// until ctx ends. Nodes that did not answer have Err set.
	Broadcast(ctx context.Context, target, name string, arguments any) []NodeReply
	// Plugin returns the config of a plugin entity by id, or false when there is
	// no such plugin of that name.
	Plugin(id, name string) (config json.RawMessage, ok bool)
}

// NodeReply is one node's answer to a command.
type NodeReply struct {
	NodeID   string
	Hostname string
	Result   json.RawMessage
	Err      error
}
