package catalog_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// space makes a workspace and returns the world in it.
func (w *world) space(name string) *world {
	w.t.Helper()
	id, err := w.EnsureWorkspace(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	other := *w
	other.Catalog = w.In(id).(*catalog.Catalog)
	return &other
}

// code returns the code of a refusal, 0 for none.
func code(err error) catalog.Code {
	if e, ok := errors.AsType[*catalog.Error](err); ok {
		return e.Code
	}
	return 0
}

func TestWorkspacesAreApart(t *testing.T) {
	w := newWorld(t)
	a, b := w.space("a"), w.space("b")
	worlds := []*world{w, a, b}
	services := make([]schema.Object, 0, len(worlds))
	for _, in := range worlds {
		// The same names, keys, tuples and tags.
		s := in.insert("services", schema.Object{"name": "s", "host": "h", "tags": []any{"t"}})
		services = append(services, s)
		in.insert("routes", schema.Object{"name": "r", "paths": []any{"/a"}, "service": schema.Object{"name": "s"}})
		c := in.insert("consumers", schema.Object{"username": "u", "custom_id": "1"})
		in.insert("keyauth_credentials", schema.Object{"key": "k", "consumer": ref(c)})
		in.insert("plugins", schema.Object{"name": "key-auth"})
		u := in.insert("upstreams", schema.Object{"name": "up"})
		in.insert("targets", schema.Object{"target": "a:1", "upstream": ref(u)})
	}
	for i, in := range worlds {
		for _, o := range []catalog.ListOptions{{}, {Tags: []string{"t"}}, {Tags: []string{"t", "x"}, AnyTag: true}, {Size: 1}} {
			page, err := in.List(t.Context(), w.def("services"), o)
			if err != nil || len(page.Entities) != 1 || page.Entities[0]["id"] != services[i]["id"] || page.Next != "" {
				t.Errorf("workspace %d, list %+v: %v, %v", i, o, page, err)
			}
		}
		o, err := in.Get(t.Context(), w.def("services"), catalog.Key{Value: "s"}, catalog.Scope{})
		if err != nil || o["id"] != services[i]["id"] {
			t.Errorf("workspace %d: by name %v, %v", i, o, err)
		}
		if _, shown := o[schema.WorkspaceID]; shown {
			t.Error("the workspace is shown")
		}
		if c, err := in.Find(t.Context(), w.def("consumers"), "custom_id", "1"); err != nil || c["username"] != "u" {
			t.Errorf("workspace %d: by custom_id %v, %v", i, c, err)
		}
		page, err := in.Tagged(t.Context(), "t", 0, "")
		if err != nil || len(page.Entities) != 1 || page.Entities[0]["entity_id"] != services[i]["id"] {
			t.Errorf("workspace %d: tagged %v, %v", i, page, err)
		}
		if page, err = in.Tagged(t.Context(), "", 0, ""); err != nil || len(page.Entities) != 1 {
			t.Errorf("workspace %d: all tags %v, %v", i, page, err)
		}
		counts, err := in.Counts(t.Context())
		if err != nil || counts["services"] != 1 || counts["targets"] != 1 || counts["snis"] != 0 {
			t.Errorf("workspace %d: counts %v, %v", i, counts, err)
		}
		for j, other := range services {
			key := catalog.Key{ID: other["id"].(string)}
			if i == j {
				continue
			}
			if _, err := in.Get(t.Context(), w.def("services"), key, catalog.Scope{}); !errors.Is(err, catalog.ErrNotFound) {
				t.Errorf("workspace %d reads an entity of workspace %d: %v", i, j, err)
			}
			if _, err := in.Update(t.Context(), w.def("services"), key, catalog.Scope{}, schema.Object{"port": 1}); !errors.Is(err, catalog.ErrNotFound) {
				t.Errorf("workspace %d updates an entity of workspace %d: %v", i, j, err)
			}
			_, err := in.Upsert(t.Context(), w.def("services"), key, catalog.Scope{}, schema.Object{"host": "mine"})
			if code(err) != catalog.CodePrimaryKeyViolation {
				t.Errorf("workspace %d replaces an entity of workspace %d: %v", i, j, err)
			}
			_, err = in.Insert(t.Context(), w.def("services"), schema.Object{"id": key.ID, "host": "mine"})
			if code(err) != catalog.CodePrimaryKeyViolation {
				t.Errorf("workspace %d inserts with the id of workspace %d: %v", i, j, err)
			}
			if _, err := in.Delete(t.Context(), w.def("services"), key, catalog.Scope{}); err != nil {
				t.Error(err)
			}
			_, err = in.Insert(t.Context(), w.def("routes"), schema.Object{"paths": []any{"/b"}, "service": ref(other)})
			if code(err) != catalog.CodeForeignKeyViolation {
				t.Errorf("workspace %d refers to workspace %d: %v", i, j, err)
			}
		}
	}
	for i, in := range worlds {
		if got := in.names("services", catalog.ListOptions{}); !slices.Equal(got, []string{"s"}) {
			t.Errorf("workspace %d lost its service: %v", i, got)
		}
		_, err := in.Insert(t.Context(), w.def("services"), schema.Object{"name": "s", "host": "h"})
		if code(err) != catalog.CodeUniqueViolation {
			t.Errorf("workspace %d has a name twice: %v", i, err)
		}
		if _, err := in.Insert(t.Context(), w.def("plugins"), schema.Object{"name": "key-auth"}); code(err) != catalog.CodeUniqueViolation {
			t.Errorf("workspace %d has a plugin twice: %v", i, err)
		}
	}
	// What is unique everywhere stays so.
	w.insert("vaults", schema.Object{"name": "env", "prefix": "my-env"})
	if _, err := a.Insert(t.Context(), w.def("vaults"), schema.Object{"name": "env", "prefix": "my-env"}); code(err) != catalog.CodeUniqueViolation {
		t.Errorf("a prefix is there twice: %v", err)
	}
	// An update keeps the workspace.
	if _, err := a.Update(t.Context(), w.def("services"), catalog.Key{Value: "s"}, catalog.Scope{}, schema.Object{"port": 81}); err != nil {
		t.Fatal(err)
	}
	if got := a.names("services", catalog.ListOptions{}); len(got) != 1 {
		t.Errorf("after an update: %v", got)
	}
}

func TestDefaultBodiesSayNoWorkspace(t *testing.T) {
	w := newWorld(t)
	w.insert("services", schema.Object{"name": "s", "host": "h"})
	w.space("a").insert("services", schema.Object{"name": "s", "host": "h"})
	said := 0
	if err := w.store.View(func(tx store.Tx) error {
		return tx.List("services", "", 10, func(_ string, body []byte) bool {
			if strings.Contains(string(body), `"ws_id":`) {
				said++
			}
			return true
		})
	}); err != nil {
		t.Fatal(err)
	}
	if said != 1 {
		t.Errorf("%d of 2 bodies say their workspace", said)
	}
}

func TestDeleteWorkspace(t *testing.T) {
	w := newWorld(t)
	a := w.space("a")
	s := a.insert("services", schema.Object{"name": "s", "host": "h"})
	a.insert("routes", schema.Object{"paths": []any{"/a"}, "service": ref(s)})
	w.insert("services", schema.Object{"name": "s", "host": "h"})
	key := catalog.Key{Value: "a"}
	if _, err := w.DeleteWorkspace(t.Context(), key, false); !errors.Is(err, catalog.ErrNotEmpty) {
		t.Errorf("not empty: %v", err)
	}
	if _, err := w.Delete(t.Context(), w.def("workspaces"), key, catalog.Scope{}); !errors.Is(err, catalog.ErrNotEmpty) {
		t.Errorf("not empty: %v", err)
	}
	if _, err := w.DeleteWorkspace(t.Context(), catalog.Key{Value: "default"}, true); !errors.Is(err, catalog.ErrDefaultWorkspace) {
		t.Errorf("default: %v", err)
	}
	if _, err := w.DeleteWorkspace(t.Context(), key, true); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Workspace(t.Context(), "a"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("still there: %v", err)
	}
	if got := a.names("services", catalog.ListOptions{}); len(got) > 0 {
		t.Errorf("still has %v", got)
	}
	if got := w.names("services", catalog.ListOptions{}); len(got) != 1 {
		t.Errorf("the default workspace has %v", got)
	}
	if _, err := w.DeleteWorkspace(t.Context(), key, false); err != nil {
		t.Errorf("what is not there: %v", err)
	}
}

func TestWorkspaceNames(t *testing.T) {
	w := newWorld(t)
	def := w.def("workspaces")
	for _, name := range []string{"schemas", "key-auths", "config", "services", "consumer_groups"} {
		if _, err := w.Insert(t.Context(), def, schema.Object{"name": name}); err == nil {
			t.Errorf("%s is taken", name)
		}
		if _, err := w.EnsureWorkspace(t.Context(), name); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	o := w.insert("workspaces", schema.Object{"name": "a", "meta": schema.Object{"color": "#fff"}})
	if id, _, err := w.Workspace(t.Context(), "a"); err != nil || id != o["id"] {
		t.Errorf("by name: %q, %v", id, err)
	}
	if id, _, err := w.Workspace(t.Context(), o["id"].(string)); err != nil || id != o["id"] {
		t.Errorf("by id: %q, %v", id, err)
	}
	if id, _, err := w.Workspace(t.Context(), "default"); err != nil || id != "" {
		t.Errorf("default: %q, %v", id, err)
	}
	if _, err := w.Update(t.Context(), def, catalog.Key{Value: "a"}, catalog.Scope{}, schema.Object{"name": "b"}); err == nil {
		t.Error("a partial update renames")
	}
	got, err := w.Update(t.Context(), def, catalog.Key{Value: "a"}, catalog.Scope{}, schema.Object{"comment": "c"})
	if err != nil || got.Entity["comment"] != "c" || got.Entity["meta"].(schema.Object)["color"] != "#fff" {
		t.Errorf("comment: %v, %v", got.Entity, err)
	}
	if _, err := w.Upsert(t.Context(), def, catalog.Key{ID: o["id"].(string)}, catalog.Scope{}, schema.Object{"name": "b"}); err != nil {
		t.Errorf("rename: %v", err)
	}
	if _, err := w.Upsert(t.Context(), def, catalog.Key{Value: "default"}, catalog.Scope{}, schema.Object{"comment": "ours"}); err != nil {
		t.Error(err)
	}
	d, err := w.Get(t.Context(), def, catalog.Key{Value: "default"}, catalog.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Upsert(t.Context(), def, catalog.Key{ID: d["id"].(string)}, catalog.Scope{}, schema.Object{"name": "else"}); err == nil {
		t.Error("the default workspace gets another name")
	}
}

// TestNodesKnowNames holds that names of workspaces are streamed, but not the default one's:
// who has no other sees no difference.
func TestNodesKnowNames(t *testing.T) {
	w := newWorld(t)
	if at := w.revision(); at != 0 {
		t.Errorf("a new store is at revision %d", at)
	}
	names := func() map[any]any {
		t.Helper()
		page, err := w.List(t.Context(), w.def("workspace_names"), catalog.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		out := map[any]any{}
		for _, o := range page.Entities {
			out[o["id"]] = o["name"]
		}
		return out
	}
	o := w.insert("workspaces", schema.Object{"name": "a"})
	id, _ := o["id"].(string)
	at := w.revision()
	if _, err := w.Update(t.Context(), w.def("workspaces"), catalog.Key{ID: id}, catalog.Scope{}, schema.Object{"comment": "c"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[any]any{id: "a"}, names()); diff != "" || w.revision() != at {
		t.Errorf("%s, revision %d after %d", diff, w.revision(), at)
	}
	if _, err := w.Upsert(t.Context(), w.def("workspaces"), catalog.Key{ID: id}, catalog.Scope{}, schema.Object{"name": "b"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Replace(t.Context(), nil); err != nil { // which is about something else
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[any]any{id: "b"}, names()); diff != "" {
		t.Error(diff)
	}
	if _, err := w.DeleteWorkspace(t.Context(), catalog.Key{ID: id}, false); err != nil {
		t.Fatal(err)
	}
	if got := names(); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
}

// TestIndexesAreThoseOfStoresBefore holds that stores which knew no workspaces and groups
// are read as they are.
func TestIndexesAreThoseOfStoresBefore(t *testing.T) {
	w := newWorld(t)
	p := w.insert("plugins", schema.Object{"name": "key-auth", "instance_name": "i", "tags": []any{"t"}})
	if err := w.store.View(func(tx store.Tx) error {
		for index, key := range map[string]string{
			"plugins.name.route.service.consumer": `/["key-auth",null,null,null]`, "plugins.instance_name": "/i",
		} {
			if id, err := tx.Lookup(index, key); err != nil || id != p["id"] {
				t.Errorf("%s of %s leads to %q, %v", index, key, id, err)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestReplaceOneWorkspace(t *testing.T) {
	w := newWorld(t)
	a := w.space("a")
	document := func(names ...any) map[string][]schema.Object {
		out := map[string][]schema.Object{}
		for _, name := range names {
			out["services"] = append(out["services"], schema.Object{"name": name, "host": "h"})
			out["routes"] = append(out["routes"], schema.Object{"name": name, "paths": []any{"/"}, "service": name})
		}
		return out
	}
	for _, in := range []*world{w, a} {
		if _, err := in.Replace(t.Context(), document("x", "y")); err != nil {
			t.Fatal(err)
		}
	}
	at := w.revision()
	if _, err := a.Replace(t.Context(), document("x", "y")); err != nil || w.revision() != at {
		t.Errorf("the same again is a change: %v", err)
	}
	if _, err := a.Replace(t.Context(), document("y")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"y"}, a.names("routes", catalog.ListOptions{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"x", "y"}, w.names("routes", catalog.ListOptions{})); diff != "" {
		t.Error(diff)
	}
	if _, err := w.Replace(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"y"}, a.names("services", catalog.ListOptions{})); diff != "" {
		t.Error(diff)
	}
	// The id of another workspace's entity.
	y, err := a.Get(t.Context(), w.def("services"), catalog.Key{Value: "y"}, catalog.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Replace(t.Context(), map[string][]schema.Object{"services": {{"id": y["id"], "host": "h"}}})
	refused, ok := errors.AsType[*catalog.ReplaceError](err)
	if !ok || code(refused.Failures[0].Err) != catalog.CodePrimaryKeyViolation {
		t.Errorf("got %v", err)
	}
	a.insert("vaults", schema.Object{"name": "env", "prefix": "my-env"})
	_, err = w.Replace(t.Context(), map[string][]schema.Object{"vaults": {{"name": "env", "prefix": "my-env"}}})
	if refused, ok = errors.AsType[*catalog.ReplaceError](err); !ok || code(refused.Failures[0].Err) != catalog.CodeUniqueViolation {
		t.Errorf("got %v", err)
	}
}

func TestReplaceAndSharedKinds(t *testing.T) {
	w := newWorld(t)
	a := w.space("a")
	ca := w.insert("ca_certificates", schema.Object{"cert": authority(t)})
	a.insert("services", schema.Object{"name": "s", "protocol": "https", "host": "h", "ca_certificates": []any{ca["id"]}})
	if _, err := a.Replace(t.Context(), map[string][]schema.Object{"services": {{"name": "s", "protocol": "https", "host": "h", "ca_certificates": []any{ca["id"]}}}}); err != nil {
		t.Fatal(err)
	}
	if page, err := w.List(t.Context(), w.def("ca_certificates"), catalog.ListOptions{}); err != nil || len(page.Entities) != 1 {
		t.Errorf("a workspace took away what belongs to all: %v, %v", page, err)
	}
	if _, err := w.Replace(t.Context(), nil); code(err) != catalog.CodeReferencedByOthers {
		t.Errorf("taken away from under a workspace: %v", err)
	}
}

func TestGroupMemberships(t *testing.T) {
	w := newWorld(t)
	g := w.insert("consumer_groups", schema.Object{"name": "gold", "tags": []any{"t"}})
	c := w.insert("consumers", schema.Object{"username": "u"})
	members := w.def("consumer_group_consumers")
	in := schema.Object{"consumer": ref(c), "consumer_group": ref(g)}
	w.insert("consumer_group_consumers", in)
	if _, err := w.Insert(t.Context(), members, in); code(err) != catalog.CodeUniqueViolation {
		t.Errorf("twice: %v", err)
	}
	w.insert("plugins", schema.Object{"name": "rate-limiting", "config": schema.Object{"minute": 1}})
	p := w.insert("plugins", schema.Object{"name": "rate-limiting", "config": schema.Object{"minute": 2}, "consumer_group": schema.Object{"name": "gold"}})
	if diff := cmp.Diff(any(ref(g)), p["consumer_group"]); diff != "" {
		t.Error(diff)
	}
	_, err := w.Insert(t.Context(), w.def("plugins"), schema.Object{"name": "rate-limiting", "config": schema.Object{"minute": 2}, "consumer_group": ref(g)})
	if code(err) != catalog.CodeUniqueViolation || !strings.Contains(err.Error(), "consumer_group={id=") {
		t.Errorf("twice: %v", err)
	}
	_, err = w.Insert(t.Context(), w.def("plugins"), schema.Object{"name": "rate-limiting", "config": schema.Object{"minute": 2}})
	if code(err) != catalog.CodeUniqueViolation || strings.Contains(err.Error(), "consumer_group") {
		t.Errorf("twice without a group: %v", err)
	}
	_, err = w.Insert(t.Context(), w.def("plugins"), schema.Object{"name": "key-auth", "consumer_group": ref(g)})
	if v, ok := errors.AsType[*schema.Violation](err); !ok || v.Fields["consumer_group"] != "value must be null" {
		t.Errorf("key-auth for a group: %v", err)
	}
	_, err = w.Insert(t.Context(), members, schema.Object{"consumer": ref(c), "consumer_group": schema.Object{"id": uuid.NewString()}})
	if code(err) != catalog.CodeForeignKeyViolation {
		t.Errorf("a group that is not there: %v", err)
	}
	// A consumer that goes leaves its groups, a group that goes takes its plugins along.
	if _, err := w.Delete(t.Context(), w.def("consumers"), catalog.Key{Value: "u"}, catalog.Scope{}); err != nil {
		t.Fatal(err)
	}
	if page, _ := w.List(t.Context(), members, catalog.ListOptions{}); len(page.Entities) > 0 {
		t.Errorf("left behind: %v", page)
	}
	if _, err := w.Delete(t.Context(), w.def("consumer_groups"), catalog.Key{Value: "gold"}, catalog.Scope{}); err != nil {
		t.Fatal(err)
	}
	if page, _ := w.List(t.Context(), w.def("plugins"), catalog.ListOptions{}); len(page.Entities) != 1 {
		t.Errorf("plugins: %v", page)
	}
}

func TestDeleteAll(t *testing.T) {
	w := newWorld(t)
	g := w.insert("consumer_groups", schema.Object{"name": "gold"})
	for _, name := range []string{"a", "b", "c"} {
		c := w.insert("consumers", schema.Object{"username": name})
		w.insert("consumer_group_consumers", schema.Object{"consumer": ref(c), "consumer_group": ref(g)})
	}
	at := w.revision()
	scope := catalog.Scope{Field: "consumer_group", ParentID: g["id"].(string)}
	for range 2 {
		if _, err := w.DeleteAll(t.Context(), w.def("consumer_group_consumers"), scope); err != nil {
			t.Fatal(err)
		}
	}
	if page, _ := w.List(t.Context(), w.def("consumer_group_consumers"), catalog.ListOptions{}); len(page.Entities) > 0 || w.revision() != at+1 {
		t.Errorf("left %v after %d revisions", page, w.revision()-at)
	}
	if _, err := catalog.ReadOnly(w.Catalog).In("x").DeleteAll(t.Context(), w.def("consumer_group_consumers"), scope); code(err) != catalog.CodeUnsupported {
		t.Errorf("read-only: %v", err)
	}
	if _, err := catalog.ReadOnly(w.Catalog).DeleteWorkspace(t.Context(), catalog.Key{Value: "x"}, true); code(err) != catalog.CodeUnsupported {
		t.Errorf("read-only: %v", err)
	}
}

// authority makes a certificate that may sign others.
func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		Subject: pkix.Name{CommonName: "authority"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestApplyFindsTheWorkspace(t *testing.T) {
	w := newWorld(t)
	a := w.space("a")
	consumer := a.insert("consumers", schema.Object{"username": "u"})
	def, id := w.def("keyauth_credentials"), uuid.NewString()
	for _, change := range []catalog.Change{
		{Op: catalog.InsertChange, Def: def, ID: id, In: schema.Object{"key": "k", "consumer": ref(consumer)}},
		{Op: catalog.UpdateChange, Def: def, ID: id, In: schema.Object{"key": "l"}},
	} {
		if _, err := w.Apply(t.Context(), []catalog.Change{change}); err != nil {
			t.Fatal(err)
		}
	}
	if o, err := a.Get(t.Context(), def, catalog.Key{Value: "l"}, catalog.Scope{}); err != nil || o["id"] != id {
		t.Errorf("in its workspace: %v, %v", o, err)
	}
	if _, err := w.Get(t.Context(), def, catalog.Key{Value: "l"}, catalog.Scope{}); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("in the default workspace: %v", err)
	}
	if _, err := w.Apply(t.Context(), []catalog.Change{{Op: catalog.DeleteChange, Def: def, ID: id}}); err != nil {
		t.Error(err)
	}
	if _, err := w.Apply(t.Context(), []catalog.Change{{Op: catalog.DeleteChange, Def: def, ID: id}}); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("gone: %v", err)
	}
}
