package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// space is Kong's: a document gets the same ids from both.
var space = uuid.MustParse("fd02801f-0957-4a15-a55a-c8d9606f30b5") //nolint:gochecknoglobals // a constant

// Declared are entities by kind. They are asked for one at a time, more than once, so that
// a large document need not be there as objects.
type Declared interface {
	Kinds() []string
	Len(kind string) int
	// Entity returns an entity, which is not changed.
	Entity(kind string, i int) (schema.Object, error)
	// Done tells that no more will be asked for, because all are as they should be.
	Done()
}

// Objects are declared entities that are there.
type Objects map[string][]schema.Object

// Kinds implements Declared.
func (o Objects) Kinds() []string { return slices.Collect(maps.Keys(o)) }

// Len implements Declared.
func (o Objects) Len(kind string) int { return len(o[kind]) }

// Entity implements Declared.
func (o Objects) Entity(kind string, i int) (schema.Object, error) { return o[kind][i], nil }

// Done implements Declared.
func (o Objects) Done() {}

// Replace implements API.
func (c *Catalog) Replace(ctx context.Context, entities map[string][]schema.Object) (store.Position, error) {
	return c.replace(ctx, Objects(entities), schema.Declare)
}

// ReplaceStored is Replace for entities in their stored form, such as exported ones.
func (c *Catalog) ReplaceStored(ctx context.Context, entities map[string][]schema.Object) (store.Position, error) {
	return c.replace(ctx, Objects(entities), schema.DeclareStored)
}

// Declare is Replace, or ReplaceStored, for a workspace by its name, which is made in the
// same change set when there is none. It returns the workspace's id for In. A name that no
// workspace may have is a *schema.Violation.
func (c *Catalog) Declare(ctx context.Context, workspace string, entities Declared, stored bool) (id string, p store.Position, err error) {
	if err := c.declarable(entities); err != nil {
		return "", store.Position{}, err
	}
	op := schema.Declare
	if stored {
		op = schema.DeclareStored
	}
	p, err = c.o.Store.Update(ctx, replaceInfo, func(tx store.WriteTx) error {
		if id, err = c.ensureWorkspace(tx, workspace); err != nil {
			return err
		}
		return c.in(id).replaceAll(tx, entities, op)
	})
	return id, p, err
}

var replaceInfo = store.Info{Summary: "replace the configuration", RemovalIntended: true} //nolint:gochecknoglobals // a constant

func (c *Catalog) replace(ctx context.Context, entities Declared, op schema.Op) (store.Position, error) {
	if err := c.declarable(entities); err != nil {
		return store.Position{}, err
	}
	return c.o.Store.Update(ctx, replaceInfo, func(tx store.WriteTx) error { return c.replaceAll(tx, entities, op) })
}

// declarable refuses kinds that are in no document.
func (c *Catalog) declarable(entities Declared) error {
	for _, name := range entities.Kinds() {
		if k := c.byName[name]; k == nil || k.local {
			return fmt.Errorf("kind %s can't be declared", name)
		}
	}
	return nil
}

func (c *Catalog) replaceAll(tx store.WriteTx, entities Declared, op schema.Op) error {
	r := &replacing{c: c, tx: tx, op: op, ids: map[string]map[string]string{}, made: map[string]map[string][]byte{}}
	for _, k := range c.kinds {
		if !k.local {
			if err := r.identify(k, entities); err != nil {
				return err
			}
		}
	}
	for _, k := range c.kinds {
		if k.local {
			continue
		}
		for i := range entities.Len(k.name) {
			in, err := entities.Entity(k.name, i)
			if err != nil {
				return err
			}
			if err := r.process(k, i, in); err != nil {
				return err
			}
		}
	}
	if len(r.failures) > 0 {
		return &ReplaceError{Failures: r.failures}
	}
	entities.Done()
	r.ids, r.given = nil, nil // what is written is there once
	return r.write()
}

// replacing is one Replace.
type replacing struct {
	c  *Catalog
	tx store.WriteTx
	op schema.Op
	// ids of declared entities: by kind, then by their unique values and themselves.
	ids map[string]map[string]string
	// given ids by kind and index.
	given map[string][]string
	// made are the bodies of processed entities, by kind and id. One that is empty is in
	// the store already.
	made     map[string]map[string][]byte
	failures []Failure
	// plugins that were processed, for checkOrdering.
	plugins []ordered
}

func (r *replacing) fail(k *kind, i int, in schema.Object, err error) {
	r.failures = append(r.failures, Failure{Kind: k.name, Index: i, Entity: in, Err: err})
}

// identify gives each entity its id: the one that it says, the one that the store has for
// its name, or one made from its name. What has none gets it in process.
func (r *replacing) identify(k *kind, entities Declared) error {
	if r.given == nil {
		r.given = map[string][]string{}
	}
	ids := map[string]string{}
	r.ids[k.name] = ids
	r.given[k.name] = make([]string, entities.Len(k.name))
	for i := range r.given[k.name] {
		in, err := entities.Entity(k.name, i)
		if err != nil {
			return err
		}
		id, _ := in[k.pk].(string)
		for j := range k.uniques {
			if id != "" {
				break
			}
			u := &k.uniques[j]
			value, ok := in[u.name].(string)
			if !ok || value == "" {
				continue
			}
			if stored, err := r.tx.Lookup(u.index, u.key(r.c.workspace, value)); err == nil {
				id = stored
			} else if u.name == k.schema.EndpointKey {
				id = r.id(k, value)
			}
		}
		r.given[k.name][i] = id
		if id == "" {
			continue
		}
		ids[id] = id
		for j := range k.uniques {
			if value, ok := in[k.uniques[j].name].(string); ok && value != "" {
				ids[k.uniques[j].name+"\x00"+value] = id
			}
		}
	}
	return nil
}

// id is made for the workspace: those of the default one are what Kong makes.
func (r *replacing) id(k *kind, name string) string {
	if k.spaced && r.c.workspace != defaultWorkspace {
		name = r.c.workspace + "\x00" + name
	}
	return made(k, name)
}

// made makes an id from what names an entity: the same document gives the same ids.
func made(k *kind, name string) string {
	return uuid.NewSHA1(uuid.NewSHA1(space, []byte(k.name)), []byte(name)).String()
}

// resolve finds what a reference leads to among the declared entities.
func (r *replacing) resolve(target *kind, ref any) (id string, ok bool) {
	ids := r.ids[target.name]
	switch ref := ref.(type) {
	case string:
		if id, ok = ids[ref]; ok {
			return id, true
		}
		id, ok = ids[target.schema.EndpointKey+"\x00"+ref]
		return id, ok
	case schema.Object:
		if id, given := ref["id"].(string); given {
			_, ok = ids[id]
			return id, ok
		}
		for i := range target.uniques {
			if value, given := ref[target.uniques[i].name].(string); given {
				id, ok = ids[target.uniques[i].name+"\x00"+value]
				return id, ok
			}
		}
	}
	return "", false
}

// process checks and completes one entity. Its error is the store's.
func (r *replacing) process(k *kind, i int, given schema.Object) error {
	in := maps.Clone(given) // only fields at the top are set
	var missing unresolved
	for _, f := range k.foreign {
		ref := in[f.field]
		if ref == nil {
			continue
		}
		id, ok := r.resolve(f.target, ref)
		switch {
		case ok:
			in[f.field] = schema.Object{"id": id}
		case id != "":
			r.fail(k, i, given, foreignKeyViolation(f.field, f.target.name, id))
			return nil
		default:
			member, value := describe(f.target, ref)
			missing.add(f.field, member, value, f.target.name)
		}
	}
	if err := missing.err(); err != nil {
		r.fail(k, i, given, err)
		return nil
	}
	id := r.given[k.name][i]
	if id == "" {
		var err error
		if id, err = r.nameless(k, i, in); err != nil {
			return err
		}
	}
	in[k.pk] = id
	stored, err := k.load(r.tx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if stored != nil && !k.in(stored, r.c.workspace) {
		r.fail(k, i, given, r.elsewhere(k, id, given, stored))
		return nil
	}
	o, err := k.schema.Process(in, r.op, stored)
	if err == nil {
		r.c.place(k, o)
		err = r.c.check(k, o)
	}
	if err == nil {
		err = r.checkOrdering(k, o)
	}
	if err == nil {
		err = r.unique(k, o)
	}
	if err != nil {
		r.fail(k, i, given, err)
		return nil
	}
	return r.add(k, id, o)
}

// elsewhere is the error for what another workspace has: the id, or a value that
// workspaces share.
func (r *replacing) elsewhere(k *kind, id string, given, stored schema.Object) error {
	for i := range k.uniques {
		u := &k.uniques[i]
		if v := uniqueValue(given, u.name); u.everywhere && v != "" && v == uniqueValue(stored, u.name) {
			return uniqueViolation(schema.Object{u.name: v})
		}
	}
	return primaryKeyViolation(k.pk, id)
}

func describe(target *kind, ref any) (member, value string) {
	if o, ok := ref.(schema.Object); ok {
		for i := range target.uniques {
			if v, given := o[target.uniques[i].name].(string); given {
				return target.uniques[i].name, v
			}
		}
		return "id", ""
	}
	name := target.schema.EndpointKey
	if name == "" {
		name = "id"
	}
	return name, fmt.Sprint(ref)
}

// nameless makes an id for what has no name: from the fields that are unique together,
// as the store knows it, else from everything that it says and how often that was said.
func (r *replacing) nameless(k *kind, i int, in schema.Object) (string, error) {
	var name string
	if k.tuple != nil {
		key, err := k.tupleKey(r.c.workspace, in)
		if err != nil {
			return "", err
		}
		if stored, err := r.tx.Lookup(k.tupleIndex, key); err == nil && r.made[k.name][stored] == nil {
			return stored, nil
		}
		name = "tuple\x00" + key
	} else {
		b, err := schema.EncodeJSON(in)
		if err != nil {
			r.fail(k, i, in, err)
			return uuid.NewString(), nil
		}
		name = "body\x00" + string(b)
	}
	for n := 0; ; n++ {
		if id := r.id(k, fmt.Sprintf("%s\x00%d", name, n)); r.made[k.name][id] == nil {
			return id, nil
		}
	}
}

// unique refuses values that another declared entity has.
func (r *replacing) unique(k *kind, o schema.Object) error {
	ids := r.ids[k.name]
	id := k.id(o)
	for i := range k.uniques {
		u := &k.uniques[i]
		value := uniqueValue(o, u.name)
		if value == "" {
			continue
		}
		key := "seen\x00" + u.name + "\x00" + value
		if _, twice := ids[key]; twice {
			return declaredTwice(k, u.name, value)
		}
		ids[key] = id
	}
	if r.made[k.name][id] != nil {
		return declaredTwice(k, k.pk, id)
	}
	if k.tuple != nil {
		tuple, err := k.tupleKey(r.c.workspace, o)
		if err != nil {
			return err
		}
		if _, twice := ids["seen\x00\x00"+tuple]; twice {
			return uniqueViolation(k.tupleFields(o))
		}
		ids["seen\x00\x00"+tuple] = id
	}
	return nil
}

func declaredTwice(k *kind, field, value string) error {
	return &Error{
		CodeUniqueViolation, "unique constraint violation",
		fmt.Sprintf("uniqueness violation: '%s' entity with %s set to '%s' already declared", k.name, field, value),
		schema.Object{field: value},
	}
}

func (r *replacing) add(k *kind, id string, o schema.Object) error {
	if r.made[k.name] == nil {
		r.made[k.name] = map[string][]byte{}
	}
	body, err := k.schema.Encode(o)
	if err != nil {
		return err
	}
	r.made[k.name][id] = bytes.Clone(body) // without room to grow: there may be many
	names, ok := o[fieldSNIs].([]any)
	if k.name != kindCertificates || !ok {
		return nil
	}
	// The names of a certificate are entities of their own, which may be declared too.
	snis := r.c.byName[kindSNIs]
	for _, n := range names {
		name, _ := n.(string)
		if _, declared := r.ids[snis.name]["name\x00"+name]; declared {
			continue
		}
		id := r.id(snis, name)
		if stored, err := r.tx.Lookup(snis.name+".name", snis.unique("name").key(r.c.workspace, name)); err == nil {
			id = stored
		}
		stored, err := snis.load(r.tx, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if stored != nil && !snis.in(stored, r.c.workspace) {
			r.fail(k, 0, o, uniqueViolation(schema.Object{"name": name}))
			continue
		}
		s, err := snis.schema.Process(schema.Object{"id": id, "name": name, "certificate": schema.Object{"id": k.id(o)}}, schema.Declare, stored)
		if err != nil {
			return err
		}
		r.c.place(snis, s)
		if err := r.unique(snis, s); err != nil {
			r.fail(k, 0, o, err)
			continue
		}
		if err := r.add(snis, id, s); err != nil {
			return err
		}
	}
	return nil
}

// write makes the workspace equal to what was declared, and touches nothing that is the
// same.
func (r *replacing) write() error {
	type change struct {
		k  *kind
		id string
	}
	var puts []change
	for _, k := range r.c.kinds {
		if k.local {
			continue
		}
		var gone []string
		same := map[string]bool{}
		want := r.made[k.name]
		var listErr error
		if err := r.tx.List(k.name, "", everything, func(id string, body []byte) bool {
			b, ok := want[id]
			if !ok {
				mine, err := r.c.owns(k, body)
				if mine && !r.stays(k, body) {
					gone = append(gone, id)
				}
				listErr = err
				return err == nil
			}
			if same[id] = bytes.Equal(b, body); same[id] {
				want[id] = []byte{}
			}
			return true
		}); err != nil || listErr != nil {
			return errors.Join(err, listErr)
		}
		for _, id := range gone {
			if err := r.c.elsewhereReferenced(r.tx, k, id); err != nil {
				return err
			}
			if err := r.tx.Delete(k.name, id); err != nil {
				return err
			}
		}
		ids := make([]string, 0, len(want))
		for id := range want {
			if !same[id] {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		for _, id := range ids {
			puts = append(puts, change{k, id})
		}
	}
	for i := 0; i < len(puts); i++ { // puts grows
		p := puts[i]
		body := r.made[p.k.name][p.id]
		if len(body) == 0 {
			continue
		}
		o, err := p.k.schema.Decode(body)
		if err != nil {
			return err
		}
		for {
			err := p.k.putBody(r.tx, o, body)
			if err == nil {
				break
			}
			if _, ok := errors.AsType[*Error](err); !ok {
				return err
			}
			// Another entity has a value in the store that it gives up: it makes room
			// and is put behind the others.
			other, ok := r.holder(p.k, o)
			if !ok || len(r.made[p.k.name][other]) == 0 {
				return err
			}
			if err := r.tx.Delete(p.k.name, other); err != nil {
				return err
			}
			puts = append(puts, change{p.k, other})
		}
		r.made[p.k.name][p.id] = []byte{} // the store has it
	}
	return nil
}

// stays tells whether an entity that was not declared stays: one that a node wrote does,
// as long as what it refers to is declared.
func (r *replacing) stays(k *kind, body []byte) bool {
	if !k.schema.Runtime {
		return false
	}
	o, err := k.schema.Decode(body)
	if err != nil {
		return false
	}
	for _, ref := range k.foreign {
		if id := refID(o, ref.field); id != "" && r.made[ref.target.name][id] == nil {
			return false
		}
	}
	return true
}

// holder returns another entity that has one of the unique values of o in the store.
func (r *replacing) holder(k *kind, o schema.Object) (string, bool) {
	id := k.id(o)
	for i := range k.uniques {
		u := &k.uniques[i]
		if v := uniqueValue(o, u.name); v != "" {
			if other, err := r.tx.Lookup(u.index, u.key(r.c.workspace, v)); err == nil && other != id {
				return other, r.made[k.name][other] != nil
			}
		}
	}
	if k.tuple != nil {
		if key, err := k.tupleKey(r.c.workspace, o); err == nil {
			if other, err := r.tx.Lookup(k.tupleIndex, key); err == nil && other != id {
				return other, r.made[k.name][other] != nil
			}
		}
	}
	return "", false
}
