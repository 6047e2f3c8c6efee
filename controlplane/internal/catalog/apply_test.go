package catalog_test

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/schema"
)

func (w *world) count(kind string) int {
	w.t.Helper()
	page, err := w.List(w.t.Context(), w.def(kind), catalog.ListOptions{Size: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(page.Entities)
}

func TestApply(t *testing.T) {
	w := newWorld(t)
	bob := w.insert("consumers", schema.Object{"username": "bob"})
	app := w.insert("oauth2_credentials", schema.Object{"name": "app", "consumer": ref(bob)})
	token := func(access string, more schema.Object) catalog.Change {
		in := schema.Object{"access_token": access, "expires_in": 10, "credential": ref(app)}
		maps.Copy(in, more)
		id, _ := in["id"].(string)
		return catalog.Change{Op: catalog.InsertChange, Def: w.def("oauth2_tokens"), ID: id, In: in}
	}
	const id = "11111111-1111-4111-8111-111111111111"
	remove := catalog.Change{Op: catalog.DeleteChange, Def: w.def("oauth2_tokens"), ID: id}
	before := w.revision()
	if p, err := w.Apply(t.Context(), []catalog.Change{token("a", nil), token("b", schema.Object{"id": id, "refresh_token": "r"})}); err != nil || p.Revision != before+1 {
		t.Fatalf("%v: two changes are one revision, got %d after %d", err, p.Revision, before)
	}
	// What goes makes room for what comes, with the same id and the same unique values.
	if _, err := w.Apply(t.Context(), []catalog.Change{remove, token("c", schema.Object{"id": id, "refresh_token": "r"})}); err != nil {
		t.Error(err)
	}
	for name, changes := range map[string][]catalog.Change{
		"taken":           {token("x", nil), token("a", nil)},
		"gone":            {token("x", nil), {Op: catalog.DeleteChange, Def: w.def("oauth2_tokens"), ID: "22222222-2222-4222-8222-222222222222"}},
		"update of none":  {token("x", nil), {Op: catalog.UpdateChange, Def: w.def("oauth2_tokens"), ID: "22222222-2222-4222-8222-222222222222", In: schema.Object{}}},
		"not valid":       {token("x", nil), token("y", schema.Object{"expires_in": "soon"})},
		"no such service": {token("x", nil), token("y", schema.Object{"service": schema.Object{"id": id}})},
		"no operation":    {token("x", nil), {Def: w.def("oauth2_tokens")}},
	} {
		if _, err := w.Apply(t.Context(), changes); err == nil {
			t.Errorf("%s is not refused", name)
		}
		if n := w.count("oauth2_tokens"); n != 2 {
			t.Errorf("%s: %d tokens, want none more than 2", name, n)
		}
	}
	if _, err := w.Apply(t.Context(), []catalog.Change{{Op: catalog.UpdateChange, Def: w.def("oauth2_tokens"), ID: id, In: schema.Object{"scope": "s"}}}); err != nil {
		t.Error(err)
	}
	if _, err := w.Apply(t.Context(), []catalog.Change{remove}); err != nil {
		t.Error(err)
	}
	if _, err := w.Apply(t.Context(), []catalog.Change{remove}); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("deleting twice: %v", err)
	}
}

// Several lists are one revision; those that are refused leave no trace.
func TestApplyEach(t *testing.T) {
	w := newWorld(t)
	bob := w.insert("consumers", schema.Object{"username": "bob"})
	app := w.insert("oauth2_credentials", schema.Object{"name": "app", "consumer": ref(bob)})
	token := func(access string) catalog.Change {
		return catalog.Change{Op: catalog.InsertChange, Def: w.def("oauth2_tokens"), In: schema.Object{"access_token": access, "expires_in": 10, "credential": ref(app)}}
	}
	gone := catalog.Change{Op: catalog.DeleteChange, Def: w.def("oauth2_tokens"), ID: "22222222-2222-4222-8222-222222222222"}
	before := w.revision()
	at, refused := w.ApplyEach(t.Context(), [][]catalog.Change{{token("a")}, {token("x"), gone}, {token("b")}, {token("a")}, {token("c"), token("d")}})
	if at.Revision != before+1 || w.count("oauth2_tokens") != 4 {
		t.Errorf("revision %d after %d, %d tokens", at.Revision, before, w.count("oauth2_tokens"))
	}
	for i, bad := range []bool{false, true, false, true, false} {
		if (refused[i] != nil) != bad {
			t.Errorf("list %d: %v", i, refused[i])
		}
	}
	if !errors.Is(refused[1], catalog.ErrNotFound) {
		t.Errorf("list 1: %v", refused[1])
	}
	if _, refused := w.ApplyEach(t.Context(), [][]catalog.Change{{gone}}); refused[0] == nil || w.revision() != before+1 {
		t.Errorf("nothing but a refusal: %v, revision %d", refused, w.revision())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, refused := w.ApplyEach(ctx, [][]catalog.Change{{token("e")}, {token("f")}}); refused[0] == nil || refused[1] == nil {
		t.Errorf("after the end: %v", refused)
	}
}

// What nodes wrote stays when a declaration does not mention it, unless what it belongs to
// goes.
func TestReplaceLeavesWhatNodesWrote(t *testing.T) {
	w := newWorld(t)
	const bobID, appID, otherID = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002", "00000000-0000-4000-8000-000000000003"
	declared := func(apps ...string) map[string][]schema.Object {
		out := map[string][]schema.Object{"consumers": {{"id": bobID, "username": "bob"}}}
		for _, id := range apps {
			out["oauth2_credentials"] = append(out["oauth2_credentials"], schema.Object{"id": id, "name": "a", "client_id": id, "consumer": schema.Object{"id": bobID}})
		}
		return out
	}
	if _, err := w.Replace(t.Context(), declared(appID, otherID)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{appID, otherID} {
		w.insert("oauth2_tokens", schema.Object{"expires_in": 10, "credential": schema.Object{"id": id}})
		w.insert("oauth2_authorization_codes", schema.Object{"credential": schema.Object{"id": id}})
	}
	if _, err := w.Replace(t.Context(), declared(appID, otherID)); err != nil {
		t.Fatal(err)
	}
	if got, codes := w.count("oauth2_tokens"), w.count("oauth2_authorization_codes"); got != 2 || codes != 2 {
		t.Errorf("%d tokens and %d codes, want 2", got, codes)
	}
	if _, err := w.Replace(t.Context(), declared(appID)); err != nil {
		t.Fatal(err)
	}
	if got, codes := w.count("oauth2_tokens"), w.count("oauth2_authorization_codes"); got != 1 || codes != 1 {
		t.Errorf("an application is gone: %d tokens and %d codes, want 1", got, codes)
	}
}
