package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Sizes of pages.
const (
	MaxPageSize     = 1000
	DefaultPageSize = 100
)

// Options of a Catalog.
type Options struct {
	Store store.Store
	Kinds *entity.Kinds
	// Check tells whether a data plane could load a plugin entity, complete as it would
	// be stored; its error's text becomes a violation of config. nil accepts everything.
	Check func(plugin schema.Object) error
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Catalog implements API. It is safe for concurrent use.
type Catalog struct {
	o      Options
	log    hclog.Logger
	kinds  []*kind // those that others refer to first
	byName map[string]*kind
	// workspace that entities are read from and written to; see In.
	workspace string
}

var _ API = (*Catalog)(nil)

// New makes a catalog on a store, and the default workspace in it.
func New(ctx context.Context, o Options) (*Catalog, error) {
	if o.Store == nil || o.Kinds == nil {
		return nil, errors.New("catalog needs a store and kinds")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	c := &Catalog{o: o, log: o.Logger}
	var err error
	if c.kinds, c.byName, err = compileKinds(o.Kinds.All()); err != nil {
		return nil, err
	}
	return c, c.makeWorkspace(ctx)
}

// Streamed lists the kinds that go to data planes, those that others refer to first.
func (c *Catalog) Streamed() []string {
	var out []string
	for _, k := range c.kinds {
		if !k.local {
			out = append(out, k.name)
		}
	}
	return out
}

func (c *Catalog) kind(def *entity.Def) (*kind, error) {
	k := c.byName[def.Kind()]
	if k == nil {
		return nil, fmt.Errorf("kind %s is not of this catalog", def.Kind())
	}
	return k, nil
}

// Run removes entities that have ended and brings others into a better form, until ctx
// ends.
func (c *Catalog) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := c.Expire(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("entities that have ended are not removed", "error", err)
			}
			if _, err := c.Upgrade(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("stored passwords are not upgraded", "error", err)
			}
		}
	}
}

// Expire removes entities that have ended.
func (c *Catalog) Expire(ctx context.Context) error {
	type ended struct {
		kind *kind
		id   string
	}
	var list []ended
	err := c.o.Store.View(func(tx store.Tx) error {
		for _, k := range c.kinds {
			if !k.schema.TTL {
				continue
			}
			var ids []string
			if err := tx.Scan(expiryIndex(k.name), "", "", everything, func(id string) bool {
				ids = append(ids, id)
				return true
			}); err != nil {
				return err
			}
			for _, id := range ids {
				if o, err := k.load(tx, id); err == nil && c.ended(k, o) {
					list = append(list, ended{k, id})
				}
			}
		}
		return nil
	})
	if err != nil || len(list) == 0 {
		return err
	}
	_, err = c.o.Store.Update(ctx, store.Info{Summary: "entities that have ended"}, func(tx store.WriteTx) error {
		for _, e := range list {
			o, err := e.kind.load(tx, e.id)
			if errors.Is(err, store.ErrNotFound) || err == nil && !c.ended(e.kind, o) {
				continue
			}
			if err != nil {
				return err
			}
			if err := c.remove(tx, e.kind, e.id); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// everything is a limit that limits nothing.
const everything = int(^uint(0) >> 1)

func (c *Catalog) ended(k *kind, o schema.Object) bool {
	if !k.schema.TTL {
		return false
	}
	at, ok := schema.Expiry(o)
	return ok && !at.After(c.o.Now())
}

// load reads an entity in its stored form.
func (k *kind) load(tx store.Tx, id string) (schema.Object, error) {
	b, err := tx.Get(k.name, id)
	if err != nil {
		return nil, err
	}
	return k.schema.Decode(b)
}

// put stores a processed entity. What else has its unique values is an *Error.
func (k *kind) put(tx store.WriteTx, o schema.Object) error {
	body, err := k.schema.Encode(o)
	if err != nil {
		return err
	}
	return k.putBody(tx, o, body)
}

// putBody is put for an entity that was encoded already.
func (k *kind) putBody(tx store.WriteTx, o schema.Object, body []byte) error {
	indexes, err := k.indexes(o)
	if err != nil {
		return err
	}
	write := tx.Put
	if k.local {
		write = tx.PutLocal
	}
	err = write(k.name, k.id(o), body, indexes)
	if conflict, ok := errors.AsType[*store.ConflictError](err); ok {
		return k.conflict(conflict, o)
	}
	return err
}

// conflict names the fields of a unique index.
func (k *kind) conflict(c *store.ConflictError, o schema.Object) error {
	if c.Index == k.tupleIndex && k.tuple != nil {
		return uniqueViolation(k.tupleFields(o))
	}
	for i := range k.uniques {
		if k.uniques[i].index == c.Index {
			return uniqueViolation(schema.Object{k.uniques[i].name: o[k.uniques[i].name]})
		}
	}
	return c
}
