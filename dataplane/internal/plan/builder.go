package plan

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
	"github.com/sluice-gateway/sluice/dataplane/internal/pluginhost"
	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Options of a Builder.
type Options struct {
	// Kinds are the entities that this node knows; others are ignored.
	Kinds *entity.Kinds
	// Flavor of the router; "" is traditional_compatible.
	Flavor entity.Flavor
	// Plugin finds a plugin by name.
	Plugin func(name string) (*pdk.Plugin, bool)
	// Host and Balancer own what outlives plans.
	Host     *pluginhost.Host
	Balancer *balancer.Balancer
	// TrustedRoots verify upstreams; nil means the system's.
	TrustedRoots *x509.CertPool
	// Secrets finds what entities refer to; nil leaves references as they are.
	Secrets Secrets
	// VerifyUpstreams is what a service without tls_verify does.
	VerifyUpstreams bool
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Builder makes plans, one after the other, and holds the one that serves.
type Builder struct {
	options Options
	log     hclog.Logger
	shapes  map[string]*shape
	current atomic.Pointer[Plan]
	// mu is held by one build at a time.
	mu sync.Mutex
}

var _ config.Applier = (*Builder)(nil)

// New makes a builder that serves the empty plan.
func New(o Options) *Builder {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	b := &Builder{options: o, log: o.Logger, shapes: map[string]*shape{}}
	for _, def := range o.Kinds.All() {
		if def.New != nil && !def.Hidden {
			b.shapes[def.Kind()] = newShape(def)
		}
	}
	b.current.Store(b.empty())
	return b
}

// Current returns the plan that serves.
func (b *Builder) Current() *Plan { return b.current.Load() }

func (b *Builder) empty() *Plan {
	p := &Plan{tables: map[string]*table{}, router: router.New(b.options.Flavor)}
	for kind, s := range b.shapes {
		p.tables[kind] = newTable(s)
	}
	return p
}

// Apply follows config.Applier: it builds the next plan and swaps it in.
func (b *Builder) Apply(ctx context.Context, u config.Update) ([]config.EntityError, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.apply(ctx, u)
}

func (b *Builder) apply(ctx context.Context, u config.Update) ([]config.EntityError, error) {
	old := b.Current()
	n := &building{b: b, old: old, from: old, whole: u.Whole, changes: map[string][]change{}, spaces: map[string]map[string]string{}}
	if u.Whole {
		n.from = b.empty()
	}
	u.Changes = n.openVaults(u.Changes)
	// All nodes of a cluster know it, and clients do not.
	b.options.Balancer.SignCookies(u.To.Lineage)
	readable := n.decode(ctx, u.Changes)
	if err := ctx.Err(); err != nil {
		n.closeVaults()
		return nil, err
	}
	if !readable {
		return n.refuse() // others would be blamed for what is missing
	}
	p := n.build(u)
	if len(n.errs) > 0 {
		return n.refuse()
	}
	b.current.Store(p)
	n.drop(p)
	n.keepSecrets(p)
	return p.leftOut(), nil
}

// maxLeftOut bounds the entities that are named.
const maxLeftOut = 100

// leftOut names what the plan does without.
func (p *Plan) leftOut() (out []config.EntityError) {
	p.strange.All(func(_ string, e config.EntityError) bool {
		out = append(out, e)
		return len(out) < maxLeftOut
	})
	sortErrors(out)
	return out
}

// keepStrange notes the entities of kinds that this node does not know.
func (n *building) keepStrange(p *Plan, changes []config.Change) {
	edit := n.from.strange.Edit()
	for i := range changes {
		c := &changes[i]
		switch {
		case n.b.options.Kinds.ByKind(c.Kind) != nil:
		case c.Op == config.Delete:
			edit.Delete(c.Kind + "/" + c.ID)
		default:
			edit.Set(c.Kind+"/"+c.ID, config.EntityError{Kind: c.Kind, ID: c.ID, Message: "this node does not know the kind and goes on without it"})
		}
	}
	p.strange = edit.Done()
}

// building is one build.
type building struct {
	b         *Builder
	old, from *Plan
	whole     bool
	// changes by kind, each of an id of its own. spaces are the workspaces of those that are
	// not in the default one, by kind and id.
	changes map[string][]change
	spaces  map[string]map[string]string
	// sealed are the entities of changes that refer to secrets.
	sealed map[string]*sealed
	errs   []config.EntityError
	// made are the instances and upstreams that only the new plan has.
	made      []*Instance
	upstreams []*balancer.Upstream
}

// refuse lets go of what was made, and returns the reasons in an order that stays.
func (n *building) refuse() ([]config.EntityError, error) {
	n.undo()
	n.closeVaults()
	sortErrors(n.errs)
	return n.errs, fmt.Errorf("%w: %d entities", config.ErrRefused, len(n.errs))
}

func sortErrors(errs []config.EntityError) {
	slices.SortFunc(errs, func(a, b config.EntityError) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID), strings.Compare(a.Field, b.Field), strings.Compare(a.Message, b.Message))
	})
}

// decode makes typed structs of all bodies, in parallel when there are many. It returns
// whether it could.
func (n *building) decode(ctx context.Context, changes []config.Change) (readable bool) {
	values := make([]any, len(changes))
	spaces := make([]string, len(changes))
	opened := make([]*sealed, len(changes))
	errs := make([]error, len(changes))
	workers := min(runtime.GOMAXPROCS(0), len(changes)/256+1)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for {
				from := int(next.Add(256)) - 256
				if from >= len(changes) || ctx.Err() != nil {
					return
				}
				for i := from; i < min(from+256, len(changes)); i++ {
					if s := n.b.shapes[changes[i].Kind]; s != nil && changes[i].Op == config.Put {
						var body []byte
						body, opened[i] = n.open(s.def, &changes[i])
						values[i], spaces[i], errs[i] = s.decode(body)
					}
				}
			}
		})
	}
	wait.Wait()
	readable = true
	for i, c := range changes {
		if n.b.shapes[c.Kind] == nil {
			if c.MustUnderstand {
				n.fail(c.Kind, c.ID, "", "", "this node does not know the kind")
			}
			continue
		}
		if errs[i] != nil {
			n.fail(c.Kind, c.ID, "", "", errs[i].Error())
			readable = false
			continue
		}
		n.changes[c.Kind] = append(n.changes[c.Kind], change{c.ID, values[i]})
		if opened[i] != nil {
			if n.sealed == nil {
				n.sealed = map[string]*sealed{}
			}
			n.sealed[c.Kind+"/"+c.ID] = opened[i]
		}
		if spaces[i] != "" {
			if n.spaces[c.Kind] == nil {
				n.spaces[c.Kind] = map[string]string{}
			}
			n.spaces[c.Kind][c.ID] = spaces[i]
		}
	}
	if !n.whole { // which has each once
		for kind, list := range n.changes {
			n.changes[kind] = lastOfEach(list)
		}
	}
	return readable
}

// lastOfEach returns the last change of each id.
func lastOfEach(list []change) []change {
	at := make(map[string]int, len(list))
	out := list[:0]
	for _, c := range list {
		if i, twice := at[c.id]; twice {
			out[i] = c
			continue
		}
		at[c.id] = len(out)
		out = append(out, c)
	}
	return out
}

func (n *building) fail(kind, id, name, field, message string) {
	n.errs = append(n.errs, config.EntityError{Kind: kind, ID: id, Name: name, Field: field, Message: message})
}

func (n *building) build(u config.Update) *Plan {
	p := *n.from
	p.Position, p.Source = u.To, u.Source
	p.tables = make(map[string]*table, len(n.from.tables))
	for kind, t := range n.from.tables {
		if c := n.changes[kind]; len(c) > 0 {
			t = t.with(c, n.spaces[kind])
		}
		p.tables[kind] = t
	}
	n.keepStrange(&p, u.Changes)
	p.sealed = n.allSealed()
	if n.changes["snis"] != nil || n.changes["certificates"] != nil {
		var errs []config.EntityError
		p.certificates, errs = buildCertificates(&p)
		n.errs = append(n.errs, errs...)
	}
	n.buildSpaces(&p)
	n.buildGroups(&p)
	n.buildPlugins(&p)
	services := n.buildServices(&p)
	n.buildRoutes(&p, services)
	n.buildUpstreams(&p)
	return &p
}

// buildPlugins makes the instances that changed and the order of all.
func (n *building) buildPlugins(p *Plan) {
	changes := n.changes["plugins"]
	if len(changes) == 0 {
		return
	}
	edit := n.from.instances.Edit()
	for _, c := range changes {
		e, _ := c.value.(*entity.Plugin)
		if e == nil || !e.Enabled || !forHTTP(e) {
			edit.Delete(c.id)
			continue
		}
		if i := n.instance(e, n.spaces["plugins"][c.id]); i != nil {
			edit.Set(c.id, i)
		}
	}
	p.instances = edit.Done()
	type place struct{ space, name string }
	byName := map[place][]*Instance{}
	p.instances.All(func(_ string, i *Instance) bool {
		at := place{i.Workspace, i.Plugin.Name}
		byName[at] = append(byName[at], i)
		return true
	})
	p.scopes, p.chains = nil, nil
	for _, s := range p.spaces {
		s.scopes = nil
	}
	for at, list := range byName {
		all := &p.scopes
		if at.space != "" {
			all = &p.spaces[at.space].scopes
		}
		*all = append(*all, newScopes(list[0].Plugin, list))
	}
	order(p.scopes)
	for _, s := range p.spaces {
		order(s.scopes)
	}
	p.Global = *resolve(p.scopes, "", "")
	p.Handshakes, p.Rewrites = nil, nil
	for _, s := range p.Global.Steps {
		if s.Base != nil && s.Base.Phases.Certificate != nil {
			p.Handshakes = append(p.Handshakes, s.Base)
		}
		if s.Base != nil && s.Base.Phases.Rewrite != nil {
			p.Rewrites = append(p.Rewrites, s.Base)
		}
	}
}

// instance builds a plugin config, or takes the equal one that serves already.
func (n *building) instance(e *entity.Plugin, space string) *Instance {
	var condition *expression.Program
	if e.Condition != "" {
		var err error
		if condition, err = expression.Compile(e.Condition, expression.HTTP); err != nil {
			n.fail("plugins", e.ID, e.Name, "condition", err.Error())
			return nil
		}
	}
	if i, ok := n.old.instances.Get(e.ID); ok && i.Workspace == space && sameConfig(i.Entity, e) {
		same := *i
		same.Entity, same.Condition = e, condition
		return &same
	}
	plugin, ok := n.b.options.Plugin(e.Name)
	if !ok {
		n.fail("plugins", e.ID, e.Name, "name", "this node does not have the plugin")
		return nil
	}
	scope := pluginhost.Scope{
		PluginID: e.ID, RouteID: entity.RefID(e.Route), ServiceID: entity.RefID(e.Service), ConsumerID: entity.RefID(e.Consumer),
		ConsumerGroupID: entity.RefID(e.ConsumerGroup), WorkspaceID: space,
	}
	config := e.Config
	if len(config) == 0 {
		config = []byte("{}")
	}
	phases, env, err := n.b.options.Host.Build(plugin, scope, config)
	if s := n.sealed["plugins/"+e.ID]; err != nil && s != nil && len(s.missing) > 0 {
		phases, env, err = n.b.options.Host.Build(withoutSecrets(plugin, s.missing), scope, config)
	}
	if err != nil {
		if v, ok := errors.AsType[*schema.Violation](err); ok {
			for _, reason := range v.Reasons() {
				n.fail("plugins", e.ID, e.Name, "config", reason)
			}
		} else {
			n.fail("plugins", e.ID, e.Name, "config", err.Error())
		}
		return nil
	}
	i := &Instance{Plugin: plugin, Entity: e, Workspace: space, Phases: phases, Condition: condition, env: env}
	n.made = append(n.made, i)
	return i
}

// forHTTP tells whether a config is for a protocol of the HTTP family. Which one of them a
// request has does not matter, as in Kong.
func forHTTP(e *entity.Plugin) bool {
	return len(e.Protocols) == 0 || slices.ContainsFunc(e.Protocols, func(p string) bool {
		return strings.HasPrefix(p, "http") || strings.HasPrefix(p, "grpc")
	})
}

func sameConfig(a, b *entity.Plugin) bool {
	return a.Name == b.Name && scopeOf(a) == scopeOf(b) && bytes.Equal(a.Config, b.Config)
}

// buildServices returns the ids of services that changed.
func (n *building) buildServices(p *Plan) map[string]struct{} {
	ids := map[string]struct{}{}
	for _, c := range n.changes["services"] {
		ids[c.id] = struct{}{}
	}
	if n.changes["certificates"] != nil || n.changes["ca_certificates"] != nil {
		p.tables["services"].byID.All(func(id string, v any) bool {
			if s := v.(*entity.Service); s.ClientCertificate != nil || len(s.CACertificates) > 0 {
				ids[id] = struct{}{}
			}
			return true
		})
	}
	if len(ids) == 0 {
		return ids
	}
	edit := n.from.services.Edit()
	for id := range ids {
		e := get[entity.Service](p, "services", id)
		if e == nil {
			edit.Delete(id)
			continue
		}
		s := &Service{Entity: e, Base: e.Path}
		if s.Base == "" {
			s.Base = "/"
		}
		var err error
		if s.TLS, err = n.b.upstreamTLS(p, e); err != nil {
			n.fail("services", id, e.Name, "", err.Error())
		}
		edit.Set(id, s)
	}
	p.services = edit.Done()
	return ids
}

// buildRoutes updates the router and the chains of the routes that a change reaches.
func (n *building) buildRoutes(p *Plan, services map[string]struct{}) {
	reached := n.reachedRoutes(p, services)
	if len(reached) == 0 {
		return
	}
	var put []*entity.Route
	var removed []string
	type serving struct {
		route   *entity.Route
		service *Service
	}
	kept := make([]serving, 0, len(reached))
	for _, c := range reached {
		e, _ := c.value.(*entity.Route)
		var s *Service
		if e != nil && e.Service != nil {
			s, _ = p.services.Get(e.Service.ID)
			if s == nil {
				n.fail("routes", c.id, e.Name, "service", "there is no service "+e.Service.ID)
				continue
			}
		}
		if e == nil || stream(e) || s != nil && !s.Entity.Enabled {
			removed = append(removed, c.id)
			continue
		}
		if before := n.from.route(c.id); before == nil || before.Entity != e {
			put = append(put, e)
		}
		kept = append(kept, serving{e, s})
	}
	var table *router.Table
	var errs []router.Error
	made := make([]*Route, len(kept))
	inParallel(len(kept) >= manyChanges, func() {
		if len(put) > 0 || len(removed) > 0 {
			table, errs = n.from.router.Update(put, removed)
		}
	}, func() {
		for i, k := range kept {
			r := newRoute(n.b.options.Flavor, k.route, k.service)
			r.Workspace = p.spaceOf("routes", k.route.ID)
			r.Chain = p.chain(r.Workspace, k.route.ID, entity.RefID(k.route.Service))
			made[i] = r
		}
	})
	for _, e := range errs {
		n.fail("routes", e.RouteID, e.Name, e.Field, e.Message)
	}
	if len(errs) > 0 {
		return
	}
	if table != nil {
		p.router = table
	}
	edit := n.from.routes.edit()
	for _, c := range reached {
		if slot, ok := n.from.router.Slot(c.id); ok {
			edit.set(slot, nil) // another route may have it now
		}
	}
	for _, r := range made {
		if slot, ok := p.router.Slot(r.Entity.ID); ok {
			edit.set(slot, r)
		}
	}
	p.routes = edit.done()
}

// reachedRoutes returns the routes that a change reaches, as they are to be.
func (n *building) reachedRoutes(p *Plan, services map[string]struct{}) []change {
	if n.whole {
		return n.changes["routes"] // all of them
	}
	ids := map[string]struct{}{}
	for _, c := range n.changes["routes"] {
		ids[c.id] = struct{}{}
	}
	for service := range services {
		for _, r := range foreign[entity.Route](p, "routes", "service", service) {
			ids[r.ID] = struct{}{}
		}
	}
	if spaces := n.reach(p, ids); len(spaces) > 0 {
		p.tables["routes"].byID.All(func(id string, _ any) bool {
			if _, ok := spaces[p.spaceOf("routes", id)]; ok {
				ids[id] = struct{}{}
			}
			return true
		})
	}
	reached := make([]change, 0, len(ids))
	for id := range ids {
		c := change{id: id}
		if e := get[entity.Route](p, "routes", id); e != nil {
			c.value = e
		}
		reached = append(reached, c)
	}
	return reached
}

// route returns the route of an id, nil when requests can not match it.
func (p *Plan) route(id string) *Route {
	slot, ok := p.router.Slot(id)
	if !ok {
		return nil
	}
	return p.routes.get(slot)
}

// reach adds the routes whose chain the plugin changes reach to ids, and returns the
// workspaces whose routes they all reach.
func (n *building) reach(p *Plan, ids map[string]struct{}) (spaces map[string]struct{}) {
	spaces = map[string]struct{}{}
	reach := func(e *entity.Plugin, space string) {
		switch {
		case e.Route != nil:
			ids[e.Route.ID] = struct{}{}
		case e.Service != nil:
			for _, r := range foreign[entity.Route](p, "routes", "service", e.Service.ID) {
				ids[r.ID] = struct{}{}
			}
		default:
			spaces[space] = struct{}{}
		}
	}
	for _, c := range n.changes["plugins"] {
		if e, _ := c.value.(*entity.Plugin); e != nil {
			reach(e, p.spaceOf("plugins", c.id))
		}
		if old := get[entity.Plugin](n.from, "plugins", c.id); old != nil {
			reach(old, n.from.spaceOf("plugins", c.id))
		}
	}
	return spaces
}

// buildUpstreams makes the views of the upstreams that a change reaches.
func (n *building) buildUpstreams(p *Plan) {
	ids := map[string]struct{}{}
	for _, c := range n.changes["upstreams"] {
		ids[c.id] = struct{}{}
	}
	for _, c := range n.changes["targets"] {
		if t, ok := c.value.(*entity.Target); ok && t != nil {
			ids[entity.RefID(t.Upstream)] = struct{}{}
		}
		if old := get[entity.Target](n.from, "targets", c.id); old != nil {
			ids[entity.RefID(old.Upstream)] = struct{}{}
		}
	}
	// A mark that is taken away changes nothing: it was obeyed.
	for _, c := range n.changes["target_marks"] {
		if m, ok := c.value.(*entity.TargetMark); ok && m != nil {
			if t := get[entity.Target](p, "targets", entity.RefID(m.Target)); t != nil {
				ids[entity.RefID(t.Upstream)] = struct{}{}
			}
		}
	}
	if len(ids) == 0 {
		return
	}
	edits := map[string]*cow.Edit[*balancer.Upstream]{}
	edit := func(space string) *cow.Edit[*balancer.Upstream] {
		if edits[space] == nil {
			edits[space] = n.from.upstreamsOf(space).Edit()
		}
		return edits[space]
	}
	for id := range ids {
		if old := get[entity.Upstream](n.from, "upstreams", id); old != nil {
			edit(n.from.spaceOf("upstreams", id)).Delete(old.Name)
		}
	}
	for id := range ids {
		if e := get[entity.Upstream](p, "upstreams", id); e != nil {
			targets := foreign[entity.Target](p, "targets", "upstream", id)
			view := n.b.options.Balancer.Upstream(e, targets, marksOf(p, targets))
			n.upstreams = append(n.upstreams, view)
			edit(p.spaceOf("upstreams", id)).Set(e.Name, view)
		}
	}
	for space, edit := range edits {
		if space == "" {
			p.upstreams = edit.Done()
		} else {
			p.spaces[space].upstreams = edit.Done()
		}
	}
}

// marksOf returns the marks that were given by hand to targets.
func marksOf(p *Plan, targets []*entity.Target) []*entity.TargetMark {
	t := p.tables["target_marks"]
	if t == nil || t.byID.Len() == 0 {
		return nil
	}
	var out []*entity.TargetMark
	for _, target := range targets {
		out = append(out, foreign[entity.TargetMark](p, "target_marks", "target", target.ID)...)
	}
	return out
}

// undo lets go of what a refused build made.
func (n *building) undo() {
	for _, i := range n.made {
		i.env.Drop()
	}
	for _, u := range n.upstreams {
		n.b.options.Balancer.Drop(u)
	}
}

// drop lets go of what only the plan before had.
func (n *building) drop(p *Plan) {
	kept := func(i *Instance) bool {
		now, ok := p.instances.Get(i.Entity.ID)
		return ok && now.env == i.env
	}
	if n.whole {
		n.old.instances.All(func(_ string, i *Instance) bool {
			if !kept(i) {
				i.env.Drop()
			}
			return true
		})
	} else {
		for _, c := range n.changes["plugins"] {
			if i, ok := n.old.instances.Get(c.id); ok && !kept(i) {
				i.env.Drop()
			}
		}
	}
	if !n.whole && n.changes["upstreams"] == nil && n.changes["targets"] == nil && n.changes["target_marks"] == nil {
		return
	}
	for _, space := range append(slices.Collect(maps.Keys(n.old.spaces)), "") {
		n.old.upstreamsOf(space).All(func(name string, u *balancer.Upstream) bool {
			if now, ok := p.UpstreamIn(space, name); !ok || now != u {
				n.b.options.Balancer.Drop(u)
			}
			return true
		})
	}
}
