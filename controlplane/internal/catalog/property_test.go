package catalog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// author makes up entities from their schemas: good ones mostly, and some of each that is
// wrong. Names are few, so that they meet.
type author struct {
	*rand.Rand
	w *world
	// ids are those that were made, by kind.
	ids map[string][]string
	// certs and keys are in PEM form, and fit each other.
	certs, keys []string
}

func newAuthor(w *world, seed uint64) *author {
	return &author{Rand: rand.New(rand.NewPCG(seed, 0)), w: w, ids: map[string][]string{}}
}

// odd is true one time in n.
func (a *author) odd(n int) bool { return a.IntN(n) == 0 }

func pick[T any](a *author, list []T) T { return list[a.IntN(len(list))] }

// entity makes up an object of a kind; partial leaves most of it out.
func (a *author) entity(def *entity.Def, partial bool) schema.Object {
	s := def.Schema
	o := a.record(s.Fields, partial)
	if s.SubschemaKey == "" {
		return o
	}
	names := []string{"env"}
	if def.Kind() == "plugins" {
		names = plugins.Bundled().Names()
	}
	if partial {
		delete(o, s.SubschemaKey)
		return o
	}
	name := pick(a, names)
	o[s.SubschemaKey] = name
	if sub, ok := s.Subschema(name); ok {
		for i := range sub.Fields {
			if f := &sub.Fields[i]; a.odd(2) {
				o[f.Name] = a.value(f)
			}
		}
	}
	return o
}

func (a *author) record(fields []schema.Field, partial bool) schema.Object {
	o := schema.Object{}
	for i := range fields {
		f := &fields[i]
		switch {
		case f.Auto && !a.odd(20), f.Abstract, f.Hidden:
		case partial && !a.odd(5):
		case f.Required && f.Default == nil || a.odd(3):
			o[f.Name] = a.value(f)
		}
	}
	if a.odd(60) {
		o["unknown"] = "x"
	}
	return o
}

// value makes up a value of a field, one time in thirty something else.
func (a *author) value(f *schema.Field) any {
	if a.odd(30) {
		return pick(a, []any{nil, "", "a b", int64(-1), 1.5, true, []any{}, []any{nil}, schema.Object{}, schema.Object{"id": 1}, "{vault://env/x}", "\x00", "ü"})
	}
	if len(f.OneOf) > 0 {
		return pick(a, f.OneOf)
	}
	switch f.Type {
	case schema.String:
		return a.text(f)
	case schema.Integer, schema.Number:
		low, high := 0.0, 100.0
		if f.Between != nil {
			low, high = f.Between[0], f.Between[1]
		}
		return int64(low) + a.Int64N(int64(min(high-low, 1000))+1)
	case schema.Boolean:
		return a.odd(2)
	case schema.Set, schema.Array:
		list := []any{}
		for range a.IntN(4) {
			list = append(list, a.value(f.Elements))
		}
		return list
	case schema.Map:
		o := schema.Object{}
		for range a.IntN(3) {
			o[fmt.Sprintf("x-%d", a.IntN(5))] = a.value(f.Values)
		}
		return o
	case schema.Record:
		return a.record(f.Fields, a.odd(2))
	case schema.Foreign:
		if known := a.ids[f.Reference]; len(known) > 0 && !a.odd(10) {
			return schema.Object{"id": pick(a, known)}
		}
		return schema.Object{"id": uuid.NewString()}
	}
	return schema.Object{"any": int64(a.IntN(3))}
}

func (a *author) text(f *schema.Field) string {
	n := a.IntN(8)
	switch f.CheckName {
	case "path", "router_path":
		return fmt.Sprintf("/p%d", n)
	case "host", "host_with_optional_port", "wildcard_host", "sni", "target":
		return fmt.Sprintf("h%d.example", n)
	case "ip", "ip_or_cidr":
		return fmt.Sprintf("10.0.0.%d", n)
	case "url":
		return fmt.Sprintf("http://h%d.example/", n)
	case "certificate":
		return pick(a, a.certs)
	case "key":
		return pick(a, a.keys)
	}
	switch {
	case f.UUID && len(a.ids["ca_certificates"]) > 0:
		return pick(a, a.ids["ca_certificates"])
	case f.UUID:
		return uuid.NewString()
	case f.Match == "^%u+$":
		return pick(a, []string{"GET", "POST"})
	case f.Name == "jwk":
		return fmt.Sprintf(`{"kty":"OKP","kid":"n%d","crv":"Ed25519","x":"eHg"}`, n)
	}
	return fmt.Sprintf("n%d", n)
}

// state is what there is of every kind, and the position.
func (w *world) state() (map[string][]schema.Object, store.Position) {
	w.t.Helper()
	out := map[string][]schema.Object{}
	for _, def := range w.kinds.All() {
		o := catalog.ListOptions{Size: catalog.MaxPageSize}
		page, err := w.List(w.t.Context(), def, o)
		if err != nil || page.Next != "" {
			w.t.Fatalf("list %s: %v, then %s", def.Kind(), err, page.Next)
		}
		if len(page.Entities) > 0 {
			out[def.Kind()] = page.Entities
		}
	}
	p, err := w.store.Position()
	if err != nil {
		w.t.Fatal(err)
	}
	return out, p
}

// writable are the kinds that the Admin API can write.
func (w *world) writable() []*entity.Def {
	var out []*entity.Def
	for _, def := range w.kinds.All() {
		if !def.Schema.NoAdmin && def.Kind() != "tags" && def.Kind() != "workspaces" && !def.Hidden {
			out = append(out, def)
		}
	}
	return out
}

// step makes one random write and looks at what came of it.
func (a *author) step() {
	w := a.w
	w.t.Helper()
	def := pick(a, w.writable())
	kind := def.Kind()
	var key catalog.Key
	if known := a.ids[kind]; len(known) > 0 && !a.odd(4) {
		key.ID = pick(a, known)
	} else {
		key.ID = uuid.NewString()
	}
	before, at := w.state()
	var (
		written catalog.Written
		err     error
		what    string
		in      schema.Object
	)
	switch n := a.IntN(10); {
	case n < 5:
		what, in = "insert", a.entity(def, false)
		written, err = w.Insert(w.t.Context(), def, in)
	case n < 7:
		what, in = "update", a.entity(def, true)
		written, err = w.Update(w.t.Context(), def, key, catalog.Scope{}, in)
	case n < 8:
		what, in = "upsert", a.entity(def, false)
		written, err = w.Upsert(w.t.Context(), def, key, catalog.Scope{}, in)
	default:
		what = "delete"
		written, err = w.Delete(w.t.Context(), def, key, catalog.Scope{})
	}
	if err != nil {
		a.refused(what, kind, in, err, before, at)
		return
	}
	if what == "delete" {
		if _, err := w.Get(w.t.Context(), def, key, catalog.Scope{}); !errors.Is(err, catalog.ErrNotFound) {
			w.t.Fatalf("%s %s is there after it was deleted: %v", kind, key.ID, err)
		}
		a.ids = map[string][]string{} // a delete takes others along
		now, _ := w.state()
		for kind, list := range now {
			for _, o := range list {
				a.ids[kind] = append(a.ids[kind], o["id"].(string))
			}
		}
		return
	}
	id, _ := written.Entity["id"].(string)
	got, err := w.Get(w.t.Context(), def, catalog.Key{ID: id}, catalog.Scope{})
	if err != nil {
		w.t.Fatalf("%s %s %v was written, and read: %v", what, kind, in, err)
	}
	delete(got, "ttl") // it counts down
	delete(written.Entity, "ttl")
	if diff := cmp.Diff(written.Entity, got); diff != "" {
		w.t.Fatalf("%s %s %v is read back otherwise (-written +read):\n%s", what, kind, in, diff)
	}
	if !slices.Contains(a.ids[kind], id) {
		a.ids[kind] = append(a.ids[kind], id)
	}
}

// refused makes sure that a refusal is one, and left no trace.
func (a *author) refused(what, kind string, in schema.Object, err error, before map[string][]schema.Object, at store.Position) {
	w := a.w
	w.t.Helper()
	_, violates := errors.AsType[*schema.Violation](err)
	_, refused := errors.AsType[*catalog.Error](err)
	if !violates && !refused && !errors.Is(err, catalog.ErrNotFound) {
		w.t.Fatalf("%s %s %v failed otherwise than by a refusal: %v", what, kind, in, err)
	}
	after, now := w.state()
	if diff := cmp.Diff(before, after); diff != "" || at != now {
		w.t.Fatalf("%s %s %v was refused (%v) and left a trace at %v (-before +after):\n%s", what, kind, in, err, now, diff)
	}
}

// consistent looks for every entity by all ways that lead to it, follows its references
// and has the store check itself.
func (a *author) consistent() {
	w := a.w
	w.t.Helper()
	ctx := w.t.Context()
	if err := w.store.Check(ctx); err != nil {
		w.t.Fatalf("the store is not consistent: %v", err)
	}
	all, _ := w.state()
	there := map[string]bool{}
	for kind, list := range all {
		for _, o := range list {
			there[kind+" "+o["id"].(string)] = true
		}
	}
	contains := func(def *entity.Def, o catalog.ListOptions, id any) bool {
		o.Size = catalog.MaxPageSize
		page, err := w.List(ctx, def, o)
		if err != nil {
			w.t.Fatal(err)
		}
		return slices.ContainsFunc(page.Entities, func(e schema.Object) bool { return e["id"] == id })
	}
	for _, def := range w.writable() {
		page, err := w.List(ctx, def, catalog.ListOptions{Size: catalog.MaxPageSize, JSON: true})
		if err != nil {
			w.t.Fatal(err)
		}
		if want, err := schema.EncodeJSON(all[def.Kind()]); page.JSON != nil && !def.Schema.TTL && (err != nil || string(want) != "["+string(page.JSON)+"]") {
			w.t.Errorf("%s listed as JSON: %s, want %s", def.Kind(), page.JSON, want)
		}
		for _, o := range all[def.Kind()] {
			if name, _ := o[def.Schema.EndpointKey].(string); name != "" && def.Kind() != "targets" && def.Schema.EndpointKey != "" {
				got, err := w.Get(ctx, def, catalog.Key{Value: name}, catalog.Scope{})
				if err != nil || got["id"] != o["id"] {
					w.t.Errorf("%s %v by its %s %q: %v, %v", def.Kind(), o["id"], def.Schema.EndpointKey, name, got, err)
				}
				if !contains(def, catalog.ListOptions{NameContains: name}, o["id"]) {
					w.t.Errorf("%s %v is not listed by its name %s", def.Kind(), o["id"], name)
				}
			}
			for i := range def.Schema.Fields {
				f := &def.Schema.Fields[i]
				ref, _ := o[f.Name].(schema.Object)
				id, _ := ref["id"].(string)
				if f.Type != schema.Foreign || id == "" {
					continue
				}
				if !there[f.Reference+" "+id] {
					w.t.Errorf("%s %v refers to %s %s, which is not there", def.Kind(), o["id"], f.Reference, id)
				}
				if !contains(def, catalog.ListOptions{Scope: catalog.Scope{Field: f.Name, ParentID: id}}, o["id"]) {
					w.t.Errorf("%s %v is not listed below %s %s", def.Kind(), o["id"], f.Reference, id)
				}
			}
			tags, _ := o["tags"].([]any)
			for _, tag := range tags {
				if !contains(def, catalog.ListOptions{Tags: []string{tag.(string)}}, o["id"]) {
					w.t.Errorf("%s %v is not listed by its tag %v", def.Kind(), o["id"], tag)
				}
			}
		}
	}
}

func randomWrites(t *testing.T, seed uint64, steps int) {
	w := newWorld(t)
	a := newAuthor(w, seed)
	cert, key := pair(t)
	a.certs, a.keys = []string{cert}, []string{key}
	for range steps {
		a.step()
	}
	a.consistent()
	total := 0
	for _, ids := range a.ids {
		total += len(ids)
	}
	t.Logf("seed %d: %d entities of %d kinds after %d writes", seed, total, len(a.ids), steps)
}

// TestRandomWrites: what is accepted is read back as it was answered, what is refused leaves
// no trace, and any sequence of writes leaves indexes and references consistent.
func TestRandomWrites(t *testing.T) {
	for seed := range uint64(3) {
		randomWrites(t, seed, 150)
	}
}

func FuzzRandomWrites(f *testing.F) {
	f.Add(uint64(100))
	f.Fuzz(func(t *testing.T, seed uint64) { randomWrites(t, seed, 60) })
}
