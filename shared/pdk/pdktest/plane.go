package pdktest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plane stands for the control plane and what a node serves of it: a View that Write
// changes at once. It is safe for concurrent use.
type Plane struct {
	// OnLease answers leases; nil grants what is waited for.
	OnLease func(requests []pdk.LeaseRequest) ([]pdk.LeaseGrant, error)

	t     testing.TB
	kinds map[string]*entity.Def

	mu       sync.Mutex
	err      error
	entities []Entity
	view     *View
	writes   int
}

var (
	_ pdk.View    = (*Plane)(nil)
	_ pdk.Control = (*Plane)(nil)
)

// NewPlane makes a plane with entities, in which the plugin's kinds can be written.
func NewPlane(t testing.TB, p *pdk.Plugin, entities ...Entity) *Plane {
	plane := &Plane{t: t, kinds: map[string]*entity.Def{}, entities: entities, view: NewView(entities...)}
	for _, d := range p.Entities {
		plane.kinds[d.Kind()] = d
	}
	return plane
}

// Fail has what is asked fail with err; nil has it succeed again.
func (p *Plane) Fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// Writes returns how many calls of Write have succeeded.
func (p *Plane) Writes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writes
}

// Entities returns the typed structs of a kind.
func (p *Plane) Entities(def *entity.Def) []any {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []any
	for _, e := range p.entities {
		if e.Def == def {
			out = append(out, e.Value)
		}
	}
	return out
}

func (p *Plane) now() *View {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view
}

// ByID follows pdk.View.
func (p *Plane) ByID(def *entity.Def, id string) any { return p.now().ByID(def, id) }

// ByKey follows pdk.View.
func (p *Plane) ByKey(def *entity.Def, field, value string) any {
	return p.now().ByKey(def, field, value)
}

// ByForeign follows pdk.View.
func (p *Plane) ByForeign(def *entity.Def, field, id string) []any {
	return p.now().ByForeign(def, field, id)
}

// ConsumerGroups follows pdk.View.
func (p *Plane) ConsumerGroups(consumer string) []*entity.ConsumerGroup {
	return p.now().ConsumerGroups(consumer)
}

// Lease follows pdk.Control.
func (p *Plane) Lease(_ context.Context, requests []pdk.LeaseRequest) ([]pdk.LeaseGrant, error) {
	p.mu.Lock()
	err := p.err
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if p.OnLease != nil {
		return p.OnLease(requests)
	}
	out := make([]pdk.LeaseGrant, len(requests))
	for i, r := range requests {
		out[i] = pdk.LeaseGrant{Granted: r.Waiting, Taken: r.Used + r.Waiting, Nodes: 1}
	}
	return out, nil
}

// Write follows pdk.Control.
func (p *Plane) Write(_ context.Context, writes ...pdk.EntityWrite) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	next := append([]Entity(nil), p.entities...)
	for _, w := range writes {
		var err error
		if next, err = p.apply(next, w); err != nil {
			return err
		}
	}
	p.entities, p.view = next, NewView(next...)
	p.writes++
	return nil
}

func (p *Plane) apply(entities []Entity, w pdk.EntityWrite) ([]Entity, error) {
	def := p.kinds[w.Kind]
	if def == nil {
		return nil, fmt.Errorf("%w: %s is not of the plugin", pdk.ErrWriteRefused, w.Kind)
	}
	at := -1
	for i, e := range entities {
		if e.Def == def && idOf(e) == w.ID {
			at = i
		}
	}
	if w.Op == pdk.WriteDelete {
		if at < 0 {
			return nil, pdk.ErrWriteGone
		}
		return append(entities[:at:at], entities[at+1:]...), nil
	}
	in, err := schema.DecodeObject(w.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", pdk.ErrWriteRefused, err)
	}
	switch {
	case w.Op == pdk.WriteUpdate && at < 0:
		return nil, pdk.ErrWriteGone
	case w.Op == pdk.WriteInsert && at >= 0:
		return nil, pdk.ErrWriteConflict
	case w.Op == pdk.WriteInsert && w.ID == "":
		in["id"] = uuid.NewString()
	default:
		in["id"] = w.ID
	}
	op, stored := schema.Insert, schema.Object(nil)
	if w.Op == pdk.WriteUpdate {
		op, stored = schema.Update, entities[at].object
	}
	done, err := def.Schema.Process(in, op, stored)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", pdk.ErrWriteRefused, err)
	}
	made := Entity{Def: def, Value: def.New(), object: done}
	if err := schema.Into(done, made.Value); err != nil {
		return nil, err
	}
	if at >= 0 {
		return append(append(entities[:at:at], made), entities[at+1:]...), nil
	}
	return append(entities, made), nil
}
