// Package intake answers what nodes ask in the name of their plugins: to write entities
// that a plugin brings along, such as tokens, and to share counters. It owns what a
// node may ask: the kinds of the plugin that it names, so many entities of such a size
// at once. It refuses to know the wire, and writes nothing itself.
package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/lease"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Bounds of one question.
const (
	MaxWrites = 16
	MaxBody   = 256 << 10
	MaxLeases = 4096
	maxName   = 1024
	maxWait   = 5 * time.Second
	// When a node was too late, so long after it is waited for less: a node that hangs must
	// not make every write slow.
	impatience = 10 * time.Second
	shortWait  = 50 * time.Millisecond
)

// ErrForbidden means that the plugin that a node names may not do what it asks.
var ErrForbidden = errors.New("not for this plugin")

// ErrInvalid means that a question makes no sense.
var ErrInvalid = errors.New("the question makes no sense")

// Options of a Desk.
type Options struct {
	Catalog *catalog.Catalog
	Hub     *hub.Hub
	Plugins *plugins.Registry
	Leases  *lease.Book
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Desk takes the questions. It is safe for concurrent use.
type Desk struct {
	o   Options
	log hclog.Logger
	all hub.Spec
	// batch writes.
	batch batcher
	// late is when nodes were last too late for a write, in nanoseconds since 1970.
	late atomic.Int64
}

// New makes a desk.
func New(o Options) (*Desk, error) {
	if o.Catalog == nil || o.Hub == nil || o.Plugins == nil || o.Leases == nil {
		return nil, errors.New("intake needs a catalog, a hub, plugins and a book of leases")
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	all, err := hub.ParseSpec("all")
	return &Desk{o: o, log: o.Logger, all: all, batch: batcher{apply: o.Catalog.ApplyEach}}, err
}

// Write makes changes to entities of a plugin, all or none, and waits until the
// connected nodes serve them, at most so long. Errors are those of catalog.Apply and of
// this package. Writes at the same time share a transaction.
func (d *Desk) Write(ctx context.Context, plugin string, writes []pdk.EntityWrite, wait time.Duration) (store.Position, error) {
	if len(writes) == 0 || len(writes) > MaxWrites {
		return store.Position{}, fmt.Errorf("%w: %d writes, 1 to %d can be done at once", ErrInvalid, len(writes), MaxWrites)
	}
	p := d.o.Plugins.ByName(plugin)
	if p == nil {
		return store.Position{}, fmt.Errorf("%w: there is no plugin %.64q", ErrForbidden, plugin)
	}
	changes := make([]catalog.Change, len(writes))
	for i := range writes {
		var err error
		if changes[i], err = change(p, &writes[i]); err != nil {
			return store.Position{}, err
		}
	}
	at, err := d.batch.write(ctx, changes)
	if err != nil || wait <= 0 {
		return at, err
	}
	wait = min(wait, maxWait)
	if time.Since(time.Unix(0, d.late.Load())) < impatience {
		wait = min(wait, shortWait)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if r, err := d.o.Hub.Wait(ctx, at, d.all); err != nil {
		d.late.Store(time.Now().UnixNano())
		d.log.Debug("nodes do not yet serve what a node wrote", "plugin", plugin, "revision", at.Revision, "applied", r.Applied, "nodes", r.Total)
	}
	return at, nil
}

func change(p *pdk.Plugin, w *pdk.EntityWrite) (catalog.Change, error) {
	c := catalog.Change{ID: w.ID}
	for _, def := range p.Entities {
		if def.Kind() == w.Kind {
			c.Def = def
		}
	}
	switch {
	case c.Def == nil:
		return c, fmt.Errorf("%w: %s brings no %.64q along", ErrForbidden, p.Name, w.Kind)
	case len(w.ID) > maxName || len(w.Body) > MaxBody:
		return c, fmt.Errorf("%w: %s: id or body is too long", ErrInvalid, w.Kind)
	}
	switch w.Op {
	case pdk.WriteInsert:
		c.Op = catalog.InsertChange
	case pdk.WriteUpdate:
		c.Op = catalog.UpdateChange
	case pdk.WriteDelete:
		c.Op = catalog.DeleteChange
	default:
		return c, fmt.Errorf("%w: %s: it does not say what to do", ErrInvalid, w.Kind)
	}
	if w.Op != pdk.WriteInsert && w.ID == "" {
		return c, fmt.Errorf("%w: %s: id is missing", ErrInvalid, w.Kind)
	}
	if w.Op == pdk.WriteDelete {
		return c, nil
	}
	in, err := schema.DecodeObject(w.Body)
	if err != nil {
		return c, fmt.Errorf("%w: %s: %w", ErrInvalid, w.Kind, err)
	}
	c.In = in
	return c, nil
}

// ErrFull means that no more counters can be shared.
var ErrFull = errors.New("too many counters are shared")

// Lease answers a node's requests for shares of a plugin's counters.
func (d *Desk) Lease(node, plugin string, requests []pdk.LeaseRequest) ([]pdk.LeaseGrant, error) {
	if len(requests) == 0 || len(requests) > MaxLeases {
		return nil, fmt.Errorf("%w: %d lease requests, 1 to %d can be made at once", ErrInvalid, len(requests), MaxLeases)
	}
	if d.o.Plugins.ByName(plugin) == nil {
		return nil, fmt.Errorf("%w: there is no plugin %.64q", ErrForbidden, plugin)
	}
	nodes := max(1, d.o.Hub.Connected())
	out := make([]pdk.LeaseGrant, len(requests))
	for i, r := range requests {
		if r.End <= r.Start || len(r.Counter) > maxName {
			return nil, fmt.Errorf("%w: lease request %d has no window or too long a name", ErrInvalid, i)
		}
		g, ok := d.o.Leases.Lease(node, nodes, lease.Request{
			Counter: strings.Join([]string{plugin, r.Counter}, "\x00"), Start: r.Start, End: r.End, Limit: r.Limit,
			Used: r.Used, Held: r.Held, Waiting: r.Waiting, Ahead: r.Ahead,
		})
		if !ok {
			return nil, ErrFull
		}
		out[i] = pdk.LeaseGrant{Granted: g.Granted, Taken: g.Taken, Ahead: g.Ahead, Nodes: nodes}
	}
	return out, nil
}
