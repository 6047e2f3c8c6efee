// Package plan turns entities into what requests run under. A Plan is immutable:
// the entities, the router's table, a plugin chain for each route, the balancer's
// view of each upstream, the certificates by server name. A change makes the next
// Plan by copying what it touches, and one pointer is swapped; a request keeps the
// Plan that it started with.
//
// A build is all or nothing: an entity that this node can not honour refuses the
// whole update, by name and field, and the Plan before serves on. What outlives a
// Plan (connections, health, counters) lives in other rooms and is found again by
// identity.
package plan

import (
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/counters"
	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
)

// Plan is one configuration, ready to serve.
type Plan struct {
	// Position of the configuration; zero for the empty plan of a start.
	Position config.Position
	// Source says where the configuration came from.
	Source config.Source
	// Global are the configs for all requests of the default workspace, as for a request
	// without route: which workspace it is of is not known.
	Global Chain
	// Handshakes are the instances of Global with a certificate phase, in order.
	Handshakes []*Instance
	// Rewrites are the instances of Global with a rewrite phase, in order.
	Rewrites []*Instance

	tables       map[string]*table
	router       *router.Table
	routes       slots // by the router's slot
	services     cow.Map[*Service]
	upstreams    cow.Map[*balancer.Upstream] // by name
	sealed       map[string]*sealed          // by kind/id
	certificates *certificates
	instances    cow.Map[*Instance] // by plugin id
	scopes       []*scopes          // in running order, of the default workspace
	// groups that a consumer is in, by the consumer's id.
	groups cow.Map[[]*entity.ConsumerGroup]
	// spaces are the workspaces besides the default one.
	spaces map[string]*Space
	// chains are those that routes share. Only builds look at them; plans with the same
	// plugins have the same ones.
	chains map[shared]*Chain
	// strange are entities of kinds that this node does not know, by kind and id.
	strange cow.Map[config.EntityError]
}

// Route is a route with what belongs to it. It has what each of its requests needs, in
// one cache line.
type Route struct {
	Entity  *entity.Route
	Service *Service // nil when the route has none
	// Chain is shared with other routes that have no configs of their own.
	Chain *Chain
	// Counters leads to what is counted of the route, which outlives the plan.
	Counters counters.Ref
	// Workspace of the route, "" for the default one.
	Workspace string
	// What Protocols allow.
	HTTP, HTTPS, GRPC, GRPCS bool
	// PathV1 is path_handling v1, which only the traditional router heeds.
	PathV1 bool
	// Of the entity.
	StripPath, PreserveHost, BufferRequest bool
}

// Service is a service ready to be called.
type Service struct {
	Entity *entity.Service
	// Base is the service's path, "/" when it has none.
	Base string
	// TLS says how the service's targets are verified; nil for plain protocols.
	TLS *UpstreamTLS
	// Endpoints caches the transport's endpoint of each address.
	Endpoints EndpointCache
}

// Match finds the route for a request.
func (p *Plan) Match(q *router.Request, m *router.Match) (*Route, bool) {
	if !p.router.Match(q, m) {
		return nil, false
	}
	r := p.routes.get(m.Slot)
	return r, r != nil
}

// Explain returns all routes that match a request, the one that Match finds first.
func (p *Plan) Explain(q *router.Request) []router.Candidate { return p.router.Explain(q) }

// UpstreamByID finds an upstream by the id of its entity.
func (p *Plan) UpstreamByID(id string) (*balancer.Upstream, bool) {
	e := get[entity.Upstream](p, "upstreams", id)
	if e == nil {
		return nil, false
	}
	space, _ := p.tables["upstreams"].spaces.Get(id)
	return p.UpstreamIn(space, e.Name)
}

// UpstreamIn returns the upstream of a name in a workspace.
func (p *Plan) UpstreamIn(workspace, name string) (*balancer.Upstream, bool) {
	if workspace == "" {
		return p.Upstream(name)
	}
	if s := p.spaces[workspace]; s != nil {
		return s.upstreams.Get(name)
	}
	return nil, false
}

// Upstream returns the upstream of a name in the default workspace.
func (p *Plan) Upstream(name string) (*balancer.Upstream, bool) {
	if p.upstreams.Len() == 0 {
		return nil, false
	}
	return p.upstreams.Get(name)
}

// Upstreams returns all upstreams, in the order of their names.
func (p *Plan) Upstreams() []*balancer.Upstream {
	var out []*balancer.Upstream
	p.upstreams.All(func(_ string, u *balancer.Upstream) bool {
		out = append(out, u)
		return true
	})
	slices.SortFunc(out, func(a, b *balancer.Upstream) int { return strings.Compare(a.Entity.Name, b.Entity.Name) })
	return out
}

// Configs returns the enabled configs of a plugin.
func (p *Plan) Configs(plugin string) []*entity.Plugin {
	var out []*entity.Plugin
	p.instances.All(func(_ string, i *Instance) bool {
		if i.Plugin.Name == plugin {
			out = append(out, i.Entity)
		}
		return true
	})
	return out
}

// Routes returns the number of routes.
func (p *Plan) Routes() int { return p.router.Len() }

// Entities returns the number of entities of all kinds.
func (p *Plan) Entities() int {
	n := 0
	for _, t := range p.tables {
		n += t.byID.Len()
	}
	return n
}

func newRoute(flavor entity.Flavor, r *entity.Route, s *Service) *Route {
	route := &Route{
		Entity: r, Service: s, PathV1: flavor == entity.Traditional && r.PathHandling == "v1",
		StripPath: r.StripPath, PreserveHost: r.PreserveHost, BufferRequest: r.RequestBuffering,
	}
	for _, p := range r.Protocols {
		switch p {
		case "http":
			route.HTTP = true
		case "https":
			route.HTTPS = true
		case "grpc":
			route.GRPC = true
		case "grpcs":
			route.GRPCS = true
		}
	}
	return route
}

// stream tells whether a route is for TCP, UDP or TLS streams only.
func stream(r *entity.Route) bool {
	for _, p := range r.Protocols {
		if strings.HasPrefix(p, "http") || strings.HasPrefix(p, "grpc") {
			return false
		}
	}
	return len(r.Protocols) > 0
}
