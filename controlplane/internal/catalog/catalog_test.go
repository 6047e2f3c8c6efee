package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// world is a catalog on a store of its own.
type world struct {
	*catalog.Catalog
	t     *testing.T
	store *bolt.Store
	kinds *entity.Kinds
	clock time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, store: st, clock: time.Now()}
	w.kinds = entity.NewKinds(entity.Options{Plugins: plugins.Bundled().Schema, Extra: plugins.Bundled().Entities()})
	w.Catalog, err = catalog.New(t.Context(), catalog.Options{
		Store: st, Kinds: w.kinds, Now: func() time.Time { return w.clock },
		Check: func(o schema.Object) error {
			if o["instance_name"] == "unloadable" {
				return errors.New("can't be loaded")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) def(kind string) *entity.Def {
	w.t.Helper()
	def := w.kinds.ByKind(kind)
	if def == nil {
		w.t.Fatalf("no kind %s", kind)
	}
	return def
}

func (w *world) insert(kind string, o schema.Object) schema.Object {
	w.t.Helper()
	out, err := w.Insert(w.t.Context(), w.def(kind), o)
	if err != nil {
		w.t.Fatalf("insert %s %v: %v", kind, o, err)
	}
	return out.Entity
}

func (w *world) revision() uint64 {
	w.t.Helper()
	p, err := w.store.Position()
	if err != nil {
		w.t.Fatal(err)
	}
	return p.Revision
}

func (w *world) names(kind string, o catalog.ListOptions) []string {
	w.t.Helper()
	var out []string
	for {
		page, err := w.List(w.t.Context(), w.def(kind), o)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range page.Entities {
			name, _ := e[w.def(kind).Schema.EndpointKey].(string)
			out = append(out, name)
		}
		if o.Offset = page.Next; o.Offset == "" {
			slices.Sort(out)
			return out
		}
	}
}

func ref(o schema.Object) schema.Object { return schema.Object{"id": o["id"]} }

func TestReferences(t *testing.T) {
	w := newWorld(t)
	s := w.insert("services", schema.Object{"name": "s", "host": "h"})
	r := w.insert("routes", schema.Object{"name": "r", "paths": []any{"/a"}, "service": schema.Object{"name": "s"}})
	if diff := cmp.Diff(any(ref(s)), r["service"]); diff != "" {
		t.Error(diff)
	}
	for name, test := range map[string]struct {
		service schema.Object
		code    catalog.Code
		says    string
	}{
		"name": {schema.Object{"name": "x"}, catalog.CodeForeignUnresolved, "service.name"},
		"id":   {schema.Object{"id": "00000009-0000-4000-8000-000000000009"}, catalog.CodeForeignKeyViolation, "does not reference an existing 'services' entity"},
	} {
		before := w.revision()
		_, err := w.Insert(t.Context(), w.def("routes"), schema.Object{"paths": []any{"/b"}, "service": test.service})
		refused, ok := errors.AsType[*catalog.Error](err)
		if !ok || refused.Code != test.code || !strings.Contains(refused.Message, test.says) {
			t.Errorf("%s: %v", name, err)
		}
		if w.revision() != before {
			t.Errorf("%s: a refused write left a revision", name)
		}
	}
}

func TestUniqueValues(t *testing.T) {
	w := newWorld(t)
	w.insert("services", schema.Object{"name": "a", "host": "h"})
	b := w.insert("services", schema.Object{"name": "b", "host": "h"})
	conflict := func(err error) {
		t.Helper()
		if e, ok := errors.AsType[*catalog.Error](err); !ok || e.Code != catalog.CodeUniqueViolation || e.Fields["name"] != "a" {
			t.Errorf("got %v", err)
		}
	}
	_, err := w.Insert(t.Context(), w.def("services"), schema.Object{"name": "a", "host": "h"})
	conflict(err)
	_, err = w.Update(t.Context(), w.def("services"), catalog.Key{Value: "b"}, catalog.Scope{}, schema.Object{"name": "a"})
	conflict(err)
	// A name that was given up is free.
	if _, err := w.Update(t.Context(), w.def("services"), catalog.Key{ID: b["id"].(string)}, catalog.Scope{}, schema.Object{"name": "c"}); err != nil {
		t.Fatal(err)
	}
	w.insert("services", schema.Object{"name": "b", "host": "h"})
	w.insert("plugins", schema.Object{"name": "key-auth"})
	_, err = w.Insert(t.Context(), w.def("plugins"), schema.Object{"name": "key-auth"})
	if e, ok := errors.AsType[*catalog.Error](err); !ok || e.Code != catalog.CodeUniqueViolation {
		t.Errorf("the same plugin twice: %v", err)
	}
	w.insert("plugins", schema.Object{"name": "key-auth", "service": schema.Object{"name": "b"}})
}

func TestUpsert(t *testing.T) {
	w := newWorld(t)
	const id = "00000001-0000-4000-8000-000000000001"
	def := w.def("services")
	made, err := w.Upsert(t.Context(), def, catalog.Key{ID: id}, catalog.Scope{}, schema.Object{"name": "s", "host": "h", "retries": 1})
	if err != nil || made.Before != nil || made.Entity["id"] != id {
		t.Fatalf("%+v, %v", made, err)
	}
	again, err := w.Upsert(t.Context(), def, catalog.Key{Value: "s"}, catalog.Scope{}, schema.Object{"host": "other"})
	if err != nil || again.Before == nil || again.Entity["id"] != id || again.Entity["retries"] != int64(5) || again.Entity["name"] != "s" {
		t.Errorf("%+v, %v", again.Entity, err)
	}
	byName, err := w.Upsert(t.Context(), def, catalog.Key{Value: "new"}, catalog.Scope{}, schema.Object{"host": "h"})
	if err != nil || byName.Before != nil || byName.Entity["name"] != "new" {
		t.Errorf("%+v, %v", byName, err)
	}
}

func TestDeletesTakeAlong(t *testing.T) {
	w := newWorld(t)
	c := w.insert("consumers", schema.Object{"username": "u"})
	w.insert("keyauth_credentials", schema.Object{"key": "k", "consumer": ref(c)})
	w.insert("plugins", schema.Object{"name": "rate-limiting", "consumer": ref(c), "config": schema.Object{"minute": 1}})
	s := w.insert("services", schema.Object{"name": "s", "host": "h"})
	w.insert("routes", schema.Object{"name": "r", "paths": []any{"/"}, "service": ref(s)})
	w.insert("plugins", schema.Object{"name": "key-auth", "service": ref(s)})
	_, err := w.Delete(t.Context(), w.def("services"), catalog.Key{Value: "s"}, catalog.Scope{})
	if e, ok := errors.AsType[*catalog.Error](err); !ok || e.Code != catalog.CodeForeignKeyViolation || e.Fields["@referenced_by"] != "routes" {
		t.Errorf("a service with routes: %v", err)
	}
	before := w.revision()
	if _, err := w.Delete(t.Context(), w.def("consumers"), catalog.Key{Value: "u"}, catalog.Scope{}); err != nil {
		t.Fatal(err)
	}
	if w.revision() != before+1 {
		t.Errorf("one delete made %d revisions", w.revision()-before)
	}
	if got := w.names("keyauth_credentials", catalog.ListOptions{}); len(got) != 0 {
		t.Errorf("credentials left: %v", got)
	}
	if got := w.names("plugins", catalog.ListOptions{}); len(got) != 1 {
		t.Errorf("%d plugins left, want that of the service", len(got))
	}
	if _, err := w.Delete(t.Context(), w.def("routes"), catalog.Key{Value: "r"}, catalog.Scope{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Delete(t.Context(), w.def("services"), catalog.Key{Value: "s"}, catalog.Scope{}); err != nil {
		t.Fatal(err)
	}
	if got := w.names("plugins", catalog.ListOptions{}); len(got) != 0 {
		t.Errorf("plugins left: %v", got)
	}
	// What is not there is gone already, but not below a parent.
	if _, err := w.Delete(t.Context(), w.def("services"), catalog.Key{Value: "s"}, catalog.Scope{}); err != nil {
		t.Error(err)
	}
	if _, err := w.Delete(t.Context(), w.def("routes"), catalog.Key{Value: "r"}, catalog.Scope{Field: "service", ParentID: "x"}); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("below a parent: %v", err)
	}
}

func TestPluginsMustLoad(t *testing.T) {
	w := newWorld(t)
	_, err := w.Insert(t.Context(), w.def("plugins"), schema.Object{"name": "key-auth", "instance_name": "unloadable"})
	if v, ok := errors.AsType[*schema.Violation](err); !ok || v.Fields["config"] != "can't be loaded" {
		t.Errorf("got %v", err)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	var want []string
	for i := range 25 {
		name := fmt.Sprintf("s%02d", i)
		tags := []any{"all"}
		if i%2 == 0 {
			tags = append(tags, "even")
			want = append(want, name)
		}
		w.insert("services", schema.Object{"name": name, "host": "h", "tags": tags})
	}
	if got := w.names("services", catalog.ListOptions{Size: 4}); len(got) != 25 {
		t.Errorf("%d of 25 on pages of 4", len(got))
	}
	if got := w.names("services", catalog.ListOptions{Size: 3, Tags: []string{"all", "even"}}); !slices.Equal(got, want) {
		t.Errorf("both tags: %v", got)
	}
	if got := w.names("services", catalog.ListOptions{Size: 3, Tags: []string{"none", "even"}, AnyTag: true}); !slices.Equal(got, want) {
		t.Errorf("any tag: %v", got)
	}
	for _, bad := range []catalog.ListOptions{{Size: -1}, {Size: 1001}, {Offset: "%"}, {Offset: "abc"}} {
		if _, err := w.List(t.Context(), w.def("services"), bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	rows := 0
	for offset := ""; ; {
		page, err := w.Tagged(t.Context(), "", 5, offset)
		if err != nil {
			t.Fatal(err)
		}
		rows += len(page.Entities)
		if offset = page.Next; offset == "" {
			break
		}
	}
	if rows != 38 {
		t.Errorf("%d rows of tags, want 38", rows)
	}
}

func TestExpiry(t *testing.T) {
	w := newWorld(t)
	c := w.insert("consumers", schema.Object{"username": "u"})
	w.insert("keyauth_credentials", schema.Object{"key": "short", "ttl": 10, "consumer": ref(c)})
	w.insert("keyauth_credentials", schema.Object{"key": "long", "consumer": ref(c)})
	w.clock = w.clock.Add(11 * time.Second)
	if _, err := w.Get(t.Context(), w.def("keyauth_credentials"), catalog.Key{Value: "short"}, catalog.Scope{}); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("what has ended is shown: %v", err)
	}
	if got := w.names("keyauth_credentials", catalog.ListOptions{}); !slices.Equal(got, []string{"long"}) {
		t.Errorf("listed %v", got)
	}
	before := w.revision()
	for range 2 {
		if err := w.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if w.revision() != before+1 {
		t.Errorf("expiry made %d revisions, want 1: nodes must hear of it once", w.revision()-before)
	}
}

func document() map[string][]schema.Object {
	return map[string][]schema.Object{
		"services":            {{"name": "s", "host": "h"}, {"name": "t", "host": "h"}},
		"routes":              {{"name": "r", "paths": []any{"/a"}, "service": "s"}, {"paths": []any{"/b"}, "service": schema.Object{"name": "t"}}},
		"consumers":           {{"username": "u"}},
		"keyauth_credentials": {{"key": "k", "consumer": schema.Object{"username": "u"}}},
		"plugins":             {{"name": "key-auth", "route": "r"}},
		"upstreams":           {{"name": "up"}},
		"targets":             {{"target": "127.0.0.1:80", "upstream": schema.Object{"name": "up"}}},
	}
}

func TestReplace(t *testing.T) {
	w := newWorld(t)
	w.insert("services", schema.Object{"name": "goes", "host": "h"})
	kept := w.insert("services", schema.Object{"name": "s", "host": "old"})
	before := w.revision()
	p, err := w.Replace(t.Context(), document())
	if err != nil || p.Revision != before+1 {
		t.Fatalf("revision %d after %d, %v", p.Revision, before, err)
	}
	if got := w.names("services", catalog.ListOptions{}); !slices.Equal(got, []string{"s", "t"}) {
		t.Errorf("services %v", got)
	}
	s, err := w.Get(t.Context(), w.def("services"), catalog.Key{Value: "s"}, catalog.Scope{})
	if err != nil || s["id"] != kept["id"] || s["host"] != "h" {
		t.Errorf("what has the name keeps its id: %v, %v", s, err)
	}
	// The same again changes nothing, and gives another store the same ids.
	again, err := w.Replace(t.Context(), document())
	if err != nil || again != p {
		t.Errorf("again: %v, %v, want %v", again, err, p)
	}
	other := newWorld(t)
	if _, err := other.Replace(t.Context(), document()); err != nil {
		t.Fatal(err)
	}
	ids := func(w *world, kind string) []string {
		page, err := w.List(t.Context(), w.def(kind), catalog.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range page.Entities {
			out = append(out, e["id"].(string))
		}
		return out
	}
	for _, kind := range []string{"consumers", "keyauth_credentials", "upstreams", "targets"} {
		if diff := cmp.Diff(ids(w, kind), ids(other, kind)); diff != "" {
			t.Errorf("ids of %s differ: %s", kind, diff)
		}
	}
}

func TestReplaceIsAllOrNothing(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Replace(t.Context(), document()); err != nil {
		t.Fatal(err)
	}
	before, err := w.store.Position()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(d map[string][]schema.Object){
		"violation": func(d map[string][]schema.Object) { d["services"][1] = schema.Object{"name": "t"} },
		"reference": func(d map[string][]schema.Object) { d["routes"][0]["service"] = "gone" },
		"the same name": func(d map[string][]schema.Object) {
			d["services"] = append(d["services"], schema.Object{"name": "s", "host": "h"})
		},
		"the same plugin": func(d map[string][]schema.Object) {
			d["plugins"] = append(d["plugins"], schema.Object{"name": "key-auth", "route": "r"})
		},
		"plugin not loading": func(d map[string][]schema.Object) { d["plugins"][0]["instance_name"] = "unloadable" },
	} {
		d := document()
		d["services"] = append(d["services"], schema.Object{"name": "also-new", "host": "h"})
		change(d)
		_, err := w.Replace(t.Context(), d)
		refused, ok := errors.AsType[*catalog.ReplaceError](err)
		if !ok || len(refused.Failures) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := w.store.Position(); err != nil || after != before {
			t.Errorf("%s: position %v, %v", name, after, err)
		}
	}
	if _, err := w.Replace(t.Context(), map[string][]schema.Object{"workspaces": nil}); err == nil {
		t.Error("a kind that stays here is declared")
	}
}

// TestReplaceSwapsNames gives two entities each other's names in one change.
func TestReplaceSwapsNames(t *testing.T) {
	w := newWorld(t)
	const a, b = "00000001-0000-4000-8000-00000000000a", "00000001-0000-4000-8000-00000000000b"
	for _, names := range [][2]string{{"x", "y"}, {"y", "x"}, {"x", "y"}} {
		d := map[string][]schema.Object{"services": {{"id": a, "name": names[0], "host": "h"}, {"id": b, "name": names[1], "host": "h"}}}
		if _, err := w.Replace(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		for i, id := range []string{a, b} {
			s, err := w.Get(t.Context(), w.def("services"), catalog.Key{Value: names[i]}, catalog.Scope{})
			if err != nil || s["id"] != id {
				t.Errorf("%s is %v, %v", names[i], s["id"], err)
			}
		}
	}
}

func TestCertificatesHaveTheirNames(t *testing.T) {
	w := newWorld(t)
	certificate, key := pair(t)
	def := w.def("certificates")
	c := w.insert("certificates", schema.Object{"cert": certificate, "key": key, "snis": []any{"b.example", "a.example"}})
	if diff := cmp.Diff([]any{"a.example", "b.example"}, c["snis"]); diff != "" {
		t.Error(diff)
	}
	byName, err := w.Get(t.Context(), def, catalog.Key{Value: "a.example"}, catalog.Scope{})
	if err != nil || byName["id"] != c["id"] {
		t.Errorf("by name: %v", err)
	}
	for says, snis := range map[string][]any{"already associated with existing certificate": {"a.example"}, "x is duplicated": {"x", "x"}} {
		_, err := w.Insert(t.Context(), def, schema.Object{"cert": certificate, "key": key, "snis": snis})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", snis, err)
		}
	}
	if _, err := w.Update(t.Context(), def, catalog.Key{ID: c["id"].(string)}, catalog.Scope{}, schema.Object{"snis": []any{"a.example", "c.example"}}); err != nil {
		t.Fatal(err)
	}
	if got := w.names("snis", catalog.ListOptions{}); !slices.Equal(got, []string{"a.example", "c.example"}) {
		t.Errorf("snis %v", got)
	}
	if _, err := w.Delete(t.Context(), def, catalog.Key{ID: c["id"].(string)}, catalog.Scope{}); err != nil {
		t.Fatal(err)
	}
	if got := w.names("snis", catalog.ListOptions{}); len(got) != 0 {
		t.Errorf("snis without a certificate: %v", got)
	}
}

// TestConcurrentWrites lets writers contend for one name: exactly one gets it.
func TestConcurrentWrites(t *testing.T) {
	w := newWorld(t)
	var wait sync.WaitGroup
	won := make(chan bool, 16)
	for range 16 {
		wait.Go(func() {
			_, err := w.Insert(context.Background(), w.def("services"), schema.Object{"name": "one", "host": "h"})
			won <- err == nil
		})
	}
	wait.Wait()
	close(won)
	n := 0
	for ok := range won {
		if ok {
			n++
		}
	}
	if n != 1 || w.revision() != 1 {
		t.Errorf("%d writers won, revision %d", n, w.revision())
	}
}

func TestReadOnly(t *testing.T) {
	w := newWorld(t)
	api := catalog.ReadOnly(w)
	def := w.def("services")
	_, insert := api.Insert(t.Context(), def, schema.Object{"name": "s", "host": "h"})
	_, update := api.Update(t.Context(), def, catalog.Key{Value: "s"}, catalog.Scope{}, schema.Object{})
	_, remove := api.Delete(t.Context(), def, catalog.Key{ID: "x"}, catalog.Scope{})
	for says, err := range map[string]error{
		"cannot create 'services' entities when not using a database":           insert,
		"cannot update 'services' entities by 'name' when not using a database": update,
		"cannot remove 'services' entities when not using a database":           remove,
	} {
		if e, ok := errors.AsType[*catalog.Error](err); !ok || e.Code != catalog.CodeUnsupported || e.Message != says {
			t.Errorf("got %v, want %s", err, says)
		}
	}
	if _, err := api.Insert(t.Context(), def, schema.Object{}); err == nil || !strings.Contains(err.Error(), "host: required field missing") {
		t.Errorf("what is wrong with it comes first: %v", err)
	}
	if w.revision() != 0 {
		t.Error("something was written")
	}
}

// TestPagesOfTags has entities with one tag each, where a page ends with an entity.
func TestPagesOfTags(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.insert("services", schema.Object{"id": fmt.Sprintf("00000000-0000-4000-8000-00000000000%d", i), "host": "h", "tags": []any{"one"}})
	}
	for size := 1; size <= 8; size++ {
		for _, tag := range []string{"", "one"} {
			rows := 0
			for offset := ""; ; {
				page, err := w.Tagged(t.Context(), tag, size, offset)
				if err != nil {
					t.Fatal(err)
				}
				rows += len(page.Entities)
				if offset = page.Next; offset == "" {
					break
				}
			}
			if rows != 7 {
				t.Errorf("%d rows of tag %q on pages of %d, want 7", rows, tag, size)
			}
		}
	}
}
