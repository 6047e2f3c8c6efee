package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Insert implements API.
func (c *Catalog) Insert(ctx context.Context, def *entity.Def, in schema.Object) (w Written, err error) {
	k, err := c.kind(def)
	if err != nil {
		return w, err
	}
	w.Position, err = c.o.Store.Update(ctx, store.Info{Summary: "insert " + k.name}, func(tx store.WriteTx) error {
		in, err := c.references(tx, k, in)
		if err != nil {
			return err
		}
		w.Entity, err = c.insert(tx, k, in)
		return err
	})
	return w, err
}

// insert stores a new entity.
func (c *Catalog) insert(tx store.WriteTx, k *kind, in schema.Object) (schema.Object, error) {
	o, err := k.schema.Process(in, schema.Insert, nil)
	if err != nil {
		return nil, c.o.Kinds.Explain(k.def, in, err)
	}
	if k.name == kindWorkspaces {
		if err := c.checkWorkspace(k, o, nil, false); err != nil {
			return nil, err
		}
	}
	if err := c.vacant(tx, k, k.id(o)); err != nil {
		return nil, err
	}
	return c.write(tx, k, o, in)
}

// Update implements API.
func (c *Catalog) Update(ctx context.Context, def *entity.Def, key Key, scope Scope, in schema.Object) (w Written, err error) {
	k, err := c.kind(def)
	if err != nil {
		return w, err
	}
	w.Position, err = c.o.Store.Update(ctx, store.Info{Summary: "update " + k.name}, func(tx store.WriteTx) error {
		stored, err := c.find(tx, k, key, scope)
		if err != nil {
			return err
		}
		if w.Before, err = c.show(tx, k, stored); err != nil {
			return err
		}
		if err := key.allows(w.Before); err != nil {
			return err
		}
		in, err := c.references(tx, k, in)
		if err != nil {
			return err
		}
		o, err := k.schema.Process(in, schema.Update, stored)
		if err != nil {
			return c.o.Kinds.Explain(k.def, in, err)
		}
		o[k.pk] = k.id(stored)
		if k.name == kindWorkspaces {
			if err := c.checkWorkspace(k, o, stored, true); err != nil {
				return err
			}
		}
		w.Entity, err = c.write(tx, k, o, in)
		return err
	})
	return w, err
}

// Upsert implements API.
func (c *Catalog) Upsert(ctx context.Context, def *entity.Def, key Key, scope Scope, in schema.Object) (w Written, err error) {
	k, err := c.kind(def)
	if err != nil {
		return w, err
	}
	w.Position, err = c.o.Store.Update(ctx, store.Info{Summary: "upsert " + k.name}, func(tx store.WriteTx) error {
		within := scope
		if k.besides(scope.Field) == "" {
			within = Scope{} // what belongs to another parent changes over
		}
		stored, err := c.find(tx, k, key, within)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if stored != nil {
			if w.Before, err = c.show(tx, k, stored); err != nil {
				return err
			}
		}
		if err := key.allows(w.Before); err != nil {
			return err
		}
		in, err := c.references(tx, k, in)
		if err != nil {
			return err
		}
		k.address(in, key, scope, stored)
		o, err := k.schema.Process(in, schema.Upsert, stored)
		if err != nil {
			return c.o.Kinds.Explain(k.def, in, err)
		}
		if k.name == kindWorkspaces {
			if err := c.checkWorkspace(k, o, stored, false); err != nil {
				return err
			}
		}
		if stored == nil && k.spaced && key.ID != "" {
			// The id may be taken in another workspace.
			if err := c.vacant(tx, k, key.ID); err != nil {
				return err
			}
		}
		w.Entity, err = c.write(tx, k, o, in)
		return err
	})
	return w, err
}

// address makes the address of an upsert a part of the object.
func (k *kind) address(in schema.Object, key Key, scope Scope, stored schema.Object) {
	switch {
	case key.ID != "":
		in[k.pk] = key.ID
	case stored != nil:
		in[k.pk] = k.id(stored)
	default:
		delete(in, k.pk)
	}
	if key.Value != "" {
		besides := k.besides(scope.Field)
		switch {
		case k.schema.EndpointKey != "" && k.name != kindCertificates && besides == "":
			in[k.schema.EndpointKey] = key.Value
		case besides != "" && in[besides] == nil:
			in[besides] = key.Value
		}
	}
	if scope.Field != "" && in[scope.Field] == nil {
		in[scope.Field] = schema.Object{"id": scope.ParentID}
	}
}

// Validate implements API.
func (c *Catalog) Validate(def *entity.Def, in schema.Object) error {
	k, err := c.kind(def)
	if err != nil {
		return err
	}
	o, err := k.schema.Process(in, schema.Insert, nil)
	if err == nil && k.schema.TTL && in["ttl"] != nil {
		return schema.Violate("ttl", "unknown field") // it is no field, but an option of a write
	}
	if err != nil {
		return c.o.Kinds.Explain(def, in, err)
	}
	return c.check(k, o)
}

// check asks whether a data plane could load it.
func (c *Catalog) check(k *kind, o schema.Object) error {
	if k.name != kindPlugins || c.o.Check == nil {
		return nil
	}
	if err := c.o.Check(o); err != nil {
		if v, ok := errors.AsType[*schema.Violation](err); ok {
			return v
		}
		return schema.Violate("config", err.Error())
	}
	return nil
}

// references returns a copy of in, in which references by another unique value, such as
// {"name": "x"}, lead to ids.
func (c *Catalog) references(tx store.Tx, k *kind, in schema.Object) (schema.Object, error) {
	if err := checkTTL(k, in); err != nil {
		return nil, err
	}
	out := schema.Clone(in)
	var missing unresolved
	for _, r := range k.foreign {
		ref, ok := out[r.field].(schema.Object)
		if id, _ := ref["id"].(string); !ok || isUUID(id) {
			continue
		}
		for i := range r.target.uniques {
			u := &r.target.uniques[i]
			value, ok := ref[u.name].(string)
			if !ok || r.target.schema.Partial(schema.Object{u.name: value}) != nil {
				continue // the schema says what is wrong with it
			}
			id, err := c.lookup(tx, r.target, u.name, value)
			if errors.Is(err, ErrNotFound) {
				missing.add(r.field, u.name, value, r.target.name)
				break
			}
			if err != nil {
				return nil, err
			}
			out[r.field] = schema.Object{"id": id}
			break
		}
	}
	return out, missing.err()
}

// write stores a processed entity with what belongs to it, and returns it for an answer.
// in is what was given.
func (c *Catalog) write(tx store.WriteTx, k *kind, o, in schema.Object) (schema.Object, error) {
	c.place(k, o)
	for _, r := range k.foreign {
		id := refID(o, r.field)
		if id == "" {
			continue
		}
		if err := c.reachable(tx, r.target, id); errors.Is(err, store.ErrNotFound) {
			return nil, foreignKeyViolation(r.field, r.target.name, id)
		} else if err != nil {
			return nil, err
		}
	}
	if err := c.check(k, o); err != nil {
		return nil, err
	}
	if err := c.checkOrdering(tx, k, o); err != nil {
		return nil, err
	}
	names, given := in[fieldSNIs].([]any)
	if k.name == kindCertificates && given {
		for i, name := range names {
			if slices.Contains(names[:i], name) {
				return nil, schema.Violate(fieldSNIs, fmt.Sprint(name)+" is duplicated")
			}
		}
		if processed, ok := o[fieldSNIs].([]any); ok {
			names = processed
		}
		if err := c.checkServerNames(tx, k.id(o), names); err != nil {
			return nil, err
		}
	}
	if err := k.put(tx, o); err != nil {
		return nil, err
	}
	if k.name == kindWorkspaces {
		if err := c.announce(tx, k, o); err != nil {
			return nil, err
		}
	}
	if k.name == kindCertificates && given {
		if err := c.setServerNames(tx, k.id(o), names); err != nil {
			return nil, err
		}
	}
	return c.show(tx, k, o)
}

// checkServerNames refuses names that another certificate has.
func (c *Catalog) checkServerNames(tx store.Tx, certificate string, names []any) error {
	for _, n := range names {
		name, _ := n.(string)
		other, err := c.byServerName(tx, name)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return err
		case other != certificate:
			return schema.Violate(fieldSNIs, name+" already associated with existing certificate '"+other+"'")
		}
	}
	return nil
}

// setServerNames makes the snis of a certificate those.
func (c *Catalog) setServerNames(tx store.WriteTx, certificate string, names []any) error {
	snis := c.byName[kindSNIs]
	have, err := c.serverNames(tx, certificate)
	if err != nil {
		return err
	}
	want := map[string]bool{}
	for _, n := range names {
		if name, ok := n.(string); ok {
			want[name] = true
		}
	}
	for _, s := range have {
		if want[s.name] {
			delete(want, s.name)
			continue
		}
		if err := tx.Delete(snis.name, s.id); err != nil {
			return err
		}
	}
	for _, n := range names {
		name, _ := n.(string)
		if !want[name] {
			continue
		}
		delete(want, name)
		o, err := snis.schema.Process(schema.Object{"name": name, "certificate": schema.Object{"id": certificate}}, schema.Insert, nil)
		if err != nil {
			return err
		}
		c.place(snis, o)
		if err := snis.put(tx, o); err != nil {
			return err
		}
	}
	return nil
}
