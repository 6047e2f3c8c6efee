package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// space is Kong's: a document gets the same ids from both.
var space = uuid.MustParse("fd02801f-0957-4a15-a55a-c8d9606f30b5") //nolint:gochecknoglobals // a constant

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
	p, err = c.o.Store.Load(ctx, replaceInfo, func(tx store.BulkTx) error {
		if id, err = c.ensureWorkspace(tx, workspace); err != nil {
			return err
		}
		return c.in(id).replaceAll(tx, entities, op, nil)
	})
	return id, p, err
}

// mostPreviewed is how many changes a Preview has, and mostPreviewedBytes of what size.
const (
	mostPreviewed      = 1000
	mostPreviewedBytes = 8 << 20
)

// Preview is what a Declare would change.
type Preview struct {
	Created, Updated, Deleted int
	// Changes are the first of them, with what is there now in Before.
	Changes []store.Change
}

// errPreviewed ends a change set that is not meant.
var errPreviewed = errors.New("previewed")

// Preview tells what Declare would change, and changes nothing. It refuses what Declare
// refuses.
func (c *Catalog) Preview(ctx context.Context, workspace string, entities Declared, stored bool) (*Preview, error) {
	if err := c.declarable(entities); err != nil {
		return nil, err
	}
	op := schema.Declare
	if stored {
		op = schema.DeclareStored
	}
	out, size := &Preview{}, 0
	_, err := c.o.Store.Load(ctx, replaceInfo, func(tx store.BulkTx) error {
		id, err := c.ensureWorkspace(tx, workspace)
		if err != nil {
			return err
		}
		if err := c.in(id).replaceAll(tx, entities, op, func(kind, id string, before, after []byte) error {
			change := store.Change{Op: store.Put, Kind: kind, ID: id}
			switch {
			case after == nil:
				change.Op = store.Delete
				out.Deleted++
			case before == nil:
				out.Created++
			default:
				out.Updated++
			}
			if size += len(before) + len(after); len(out.Changes) < mostPreviewed && size <= mostPreviewedBytes {
				change.Body, change.Before = bytes.Clone(after), bytes.Clone(before)
				out.Changes = append(out.Changes, change)
			}
			return nil
		}); err != nil {
			return err
		}
		return errPreviewed
	})
	if !errors.Is(err, errPreviewed) {
		return nil, err
	}
	return out, nil
}

var replaceInfo = store.Info{Summary: "replace the configuration", RemovalIntended: true} //nolint:gochecknoglobals // a constant

func (c *Catalog) replace(ctx context.Context, entities Declared, op schema.Op) (store.Position, error) {
	if err := c.declarable(entities); err != nil {
		return store.Position{}, err
	}
	return c.o.Store.Load(ctx, replaceInfo, func(tx store.BulkTx) error { return c.replaceAll(tx, entities, op, nil) })
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

// replaceAll calls changed, if it is not nil, for what differs from before.
func (c *Catalog) replaceAll(tx store.BulkTx, entities Declared, op schema.Op, changed func(kind, id string, before, after []byte) error) error {
	if changed == nil {
		changed = func(_, _ string, _, _ []byte) error { return nil }
	}
	r := &replacing{c: c, tx: tx, op: op, names: map[string]*names{}}
	var kinds []string
	for _, k := range c.kinds {
		if k.local {
			continue
		}
		kinds = append(kinds, k.name)
		if err := r.identify(k, entities); err != nil {
			return err
		}
	}
	for _, k := range c.kinds {
		if k.local {
			continue
		}
		if err := r.processAll(k, entities); err != nil {
			return err
		}
	}
	if len(r.failures) > 0 {
		return &ReplaceError{Failures: r.failures}
	}
	entities.Done()
	return tx.Merge(kinds, r.keep, changed)
}

// replacing is one Replace.
type replacing struct {
	c  *Catalog
	tx store.BulkTx
	op schema.Op
	// names of the declared entities by kind.
	names    map[string]*names
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
	n := newNames(entities.Len(k.name))
	r.names[k.name] = n
	fields := []string{k.pk}
	for i := range k.uniques {
		fields = append(fields, k.uniques[i].name)
	}
	return entities.Each(k.name, func(i int, entity []byte) error {
		in := schema.Peek(entity, fields...)
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
		if id == "" {
			return nil
		}
		n.setID(i, id)
		for j := range k.uniques {
			if value, ok := in[k.uniques[j].name].(string); ok && value != "" {
				n.set(k.uniques[j].name, value, i)
			}
		}
		return nil
	})
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
	n := r.names[target.name]
	switch ref := ref.(type) {
	case string:
		if n.hasID(ref) {
			return ref, true
		}
		return n.find(target.schema.EndpointKey, ref)
	case schema.Object:
		if id, given := ref["id"].(string); given {
			return id, n.hasID(id)
		}
		for i := range target.uniques {
			if value, given := ref[target.uniques[i].name].(string); given {
				return n.find(target.uniques[i].name, value)
			}
		}
	}
	return "", false
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
func (r *replacing) nameless(k *kind, p *pending, in schema.Object) (string, error) {
	var name string
	if k.tuple != nil {
		key, err := k.tupleKey(r.c.workspace, in)
		if err != nil {
			return "", err
		}
		if stored, err := r.tx.Lookup(k.tupleIndex, key); err == nil && r.names[k.name].reserve(stored) {
			return stored, nil
		}
		name = "tuple\x00" + key
	} else {
		b, err := schema.EncodeJSON(in)
		if err != nil {
			p.err = err
			return "", nil
		}
		name = "body\x00" + string(b)
	}
	for n := 0; ; n++ {
		if id := r.id(k, fmt.Sprintf("%s\x00%d", name, n)); r.names[k.name].reserve(id) {
			return id, nil
		}
	}
}

// unique refuses values that another declared entity has, or one that stays.
func (r *replacing) unique(k *kind, o schema.Object) error {
	n := r.names[k.name]
	id := k.id(o)
	for i := range k.uniques {
		u := &k.uniques[i]
		value := uniqueValue(o, u.name)
		if value == "" {
			continue
		}
		if n.take(u.name, value) {
			return declaredTwice(k, u.name, value)
		}
		if taken, err := r.taken(k, u, value, id); err != nil {
			return err
		} else if taken {
			return uniqueViolation(schema.Object{u.name: value})
		}
	}
	if n.take("", id) {
		return declaredTwice(k, k.pk, id)
	}
	if k.tuple != nil {
		tuple, err := k.tupleKey(r.c.workspace, o)
		if err != nil {
			return err
		}
		if n.take("\x00", tuple) {
			return uniqueViolation(k.tupleFields(o))
		}
	}
	return nil
}

// taken tells whether an entity that stays has a value: one of another workspace, or one
// that a node wrote.
func (r *replacing) taken(k *kind, u *uniqueField, value, id string) (bool, error) {
	if !u.everywhere && !k.schema.Runtime {
		return false, nil
	}
	other, err := r.tx.Lookup(u.index, u.key(r.c.workspace, value))
	if err != nil || other == id || r.names[k.name].hasID(other) {
		return false, nil //nolint:nilerr // nobody has it
	}
	body, err := r.tx.Get(k.name, other)
	if err != nil {
		return false, err
	}
	mine, err := r.c.owns(k, body)
	return err == nil && (!mine || r.stays(k, body)), err
}

func declaredTwice(k *kind, field, value string) error {
	return &Error{
		CodeUniqueViolation, "unique constraint violation",
		fmt.Sprintf("uniqueness violation: '%s' entity with %s set to '%s' already declared", k.name, field, value),
		schema.Object{field: value},
	}
}

func (r *replacing) add(k *kind, id string, o schema.Object, body []byte) error {
	if len(r.failures) == 0 { // else nothing is written
		indexes, err := k.indexes(o)
		if err != nil {
			return err
		}
		if err := r.tx.Add(k.name, id, body, indexes); err != nil {
			return err
		}
	}
	names, ok := o[fieldSNIs].([]any)
	if k.name != kindCertificates || !ok {
		return nil
	}
	// The names of a certificate are entities of their own, which may be declared too.
	snis := r.c.byName[kindSNIs]
	for _, n := range names {
		name, _ := n.(string)
		if _, declared := r.names[snis.name].find("name", name); declared {
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
		body, err := snis.schema.Encode(s)
		if err != nil {
			return err
		}
		if err := r.add(snis, id, s, body); err != nil {
			return err
		}
	}
	return nil
}

// keep tells whether an entity that was not declared stays: one of another workspace does.
func (r *replacing) keep(kind, id string, body []byte) (bool, error) {
	k := r.c.byName[kind]
	mine, err := r.c.owns(k, body)
	if err != nil || !mine || r.stays(k, body) {
		return true, err
	}
	return false, r.c.elsewhereReferenced(r.tx, k, id)
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
		if id := refID(o, ref.field); id != "" && !r.names[ref.target.name].made(id) {
			return false
		}
	}
	return true
}
