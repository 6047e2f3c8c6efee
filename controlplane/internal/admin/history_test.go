package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

type pastField struct {
	Field         string
	Before, After any
	Secret        bool
}

type pastEntity struct {
	Operation, Kind, ID string
	Name, Workspace     any
	Fields              []pastField
}

type past struct {
	Revision, Head int64
	Changes        int
	Entities       []pastEntity
	Actor          any
}

func (s *server) past(path string) (p past) {
	s.t.Helper()
	s.do("GET", path, nil, "").is(200).into(&p)
	return p
}

func (s *server) at() store.Position {
	s.t.Helper()
	p, err := s.store.Position()
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// fields are shown as field=before>after.
func (p *past) fields(i int) string {
	var out []string
	for _, f := range p.Entities[i].Fields {
		out = append(out, fmt.Sprintf("%s=%v>%v", f.Field, f.Before, f.After))
	}
	return strings.Join(out, " ")
}

func TestHistory(t *testing.T) {
	s := newServer(t, nil)
	s.do("POST", "/services", asJSON, `{"name":"one","host":"a.example"}`).is(201)
	s.do("POST", "/services/one/routes", asJSON, `{"name":"r","paths":["/r"]}`).is(201)
	s.do("POST", "/consumers", asJSON, `{"username":"luka"}`).is(201)
	s.do("POST", "/consumers/luka/key-auth", asJSON, `{"key":"very-secret"}`).is(201)
	good := s.at()
	s.do("PATCH", "/services/one", asJSON, `{"host":"b.example","tags":["x"]}`).is(200)
	patched := s.at().Revision
	s.do("PUT", "/consumers/luka/key-auth/very-secret", asJSON, `{"key":"other-secret"}`)
	s.do("DELETE", "/consumers/luka", nil, "").is(204)
	s.do("POST", "/plugins", asJSON, `{"name":"rate-limiting","config":{"minute":5,"policy":"redis","redis":{"host":"h","password":"hush"}}}`).is(201)
	s.do("DELETE", "/routes/r", nil, "").is(204)
	s.do("POST", "/services/one/routes", asJSON, `{"name":"r","paths":["/other"]}`).is(201) // the name is taken now

	var list struct {
		Data []struct {
			Revision   int64
			Restorable bool
			First      []pastEntity
			Updated    int
		}
		Oldest int64 `json:"oldest_restorable"`
	}
	r := s.do("GET", "/history?size=50", nil, "").is(200)
	r.into(&list)
	if len(list.Data) < 9 || list.Data[0].First[0].Operation != "create" || list.Data[0].First[0].Name != "r" || !list.Data[0].Restorable || list.Oldest != 0 {
		t.Errorf("the list: %+v", list)
	}
	one := s.past(fmt.Sprint("/history/", patched))
	if len(one.Entities) != 1 || one.Entities[0].Operation != "update" || one.Entities[0].Name != "one" || one.Entities[0].Workspace != "default" {
		t.Fatalf("the patch: %+v", one)
	}
	if got := one.fields(0); got != "host=a.example>b.example tags=<nil>>[x]" {
		t.Errorf("fields of the patch: %s", got)
	}
	preview := s.past(fmt.Sprint("/history/", good.Revision, "/preview"))
	byKind := map[string][]string{}
	for _, e := range preview.Entities {
		byKind[e.Kind] = append(byKind[e.Kind], e.Operation)
	}
	want := "map[consumers:[create] keyauth_credentials:[create] plugins:[delete] routes:[create delete] services:[update]]"
	if got := fmt.Sprint(byKind); got != want && got != strings.Replace(want, "create delete", "delete create", 1) || preview.Head != int64(s.at().Revision) {
		t.Errorf("preview %s, head %d", got, preview.Head)
	}
	for _, path := range []string{"/history?size=50", fmt.Sprint("/history/", good.Revision), fmt.Sprint("/history/", good.Revision, "/preview"), fmt.Sprint("/history/", s.at().Revision-2)} {
		for _, secret := range []string{"very-secret", "other-secret", "hush"} {
			if r := s.do("GET", path, nil, "").is(200); strings.Contains(r.body, secret) {
				t.Errorf("%s shows a secret: %s", path, r.body)
			}
		}
	}
	// Nothing happens when something else has changed since the client looked.
	before := s.at()
	s.do("POST", fmt.Sprint("/history/", good.Revision, "/restore"), asJSON, fmt.Sprintf(`{"head":%d}`, before.Revision-1)).is(409).says("head: the newest revision is")
	s.do("POST", fmt.Sprint("/history/", good.Revision, "/restore"), asJSON, `{"x":1}`).is(400)
	if s.at() != before {
		t.Error("a refused restore changed something")
	}
	restored := s.do("POST", fmt.Sprint("/history/", good.Revision, "/restore"), asJSON, fmt.Sprintf(`{"head":%d}`, before.Revision)).is(200)
	now := s.at()
	if restored.header.Get("X-Sluice-Revision") != fmt.Sprint(now.Revision) || now.Revision != before.Revision+1 {
		t.Errorf("restored as revision %s of %d", restored.header.Get("X-Sluice-Revision"), now.Revision)
	}
	if now.Root != good.Root {
		t.Error("the configuration is not what it was")
	}
	s.do("GET", "/consumers/luka/key-auth/very-secret", nil, "").is(200)
	s.do("GET", "/routes/r", nil, "").is(200).says(`"paths":["/r"]`)
	if got := s.past(fmt.Sprint("/history/", good.Revision, "/preview")); got.Changes != 0 {
		t.Errorf("there is something left to restore: %+v", got)
	}
	// Restoring what there is changes nothing, and the restore itself can be undone.
	s.do("POST", fmt.Sprint("/history/", good.Revision, "/restore"), nil, "").is(200).says(`"changes":0`)
	if s.at() != now {
		t.Error("a restore of nothing made a revision")
	}
	s.do("POST", fmt.Sprint("/history/", before.Revision, "/restore"), nil, "").is(200)
	if s.at().Root != before.Root {
		t.Error("the undone restore is not undone")
	}
	s.do("GET", "/history/9999", nil, "").is(404)
	s.do("GET", "/history/x", nil, "").is(400)
	s.do("GET", "/history/9999/preview", nil, "").is(404)
	s.do("POST", "/history/9999/restore", nil, "").is(404)
	s.do("POST", "/history/0/restore", nil, "").is(200)
	s.do("GET", "/services", nil, "").is(200).says(`"data":[]`)
}

// TestHistoryOfAWorkspace: what happened there, and nothing else, is seen and brought back.
func TestHistoryOfAWorkspace(t *testing.T) {
	s := newServer(t, nil)
	s.do("POST", "/workspaces", asJSON, `{"name":"team"}`).is(201)
	s.do("POST", "/services", asJSON, `{"name":"one","host":"a.example"}`).is(201)
	s.do("POST", "/team/services", asJSON, `{"name":"one","host":"a.example"}`).is(201)
	good := s.at()
	s.do("PATCH", "/services/one", asJSON, `{"host":"b.example"}`).is(200)
	elsewhere := s.at().Revision
	s.do("PATCH", "/team/services/one", asJSON, `{"host":"b.example"}`).is(200)
	if r := s.do("GET", "/team/history", nil, "").is(200); strings.Count(r.body, `"revision":`) != 2 {
		t.Errorf("the team's history: %s", r.body)
	}
	s.do("GET", fmt.Sprint("/team/history/", elsewhere), nil, "").is(404)
	if p := s.past(fmt.Sprint("/team/history/", good.Revision, "/preview")); p.Changes != 1 || p.Entities[0].Workspace != "team" {
		t.Errorf("preview %+v", p)
	}
	s.do("POST", fmt.Sprint("/team/history/", good.Revision, "/restore"), nil, "").is(200)
	s.do("GET", "/team/services/one", nil, "").is(200).says("a.example")
	s.do("GET", "/services/one", nil, "").is(200).says("b.example")
	// A workspace that was deleted with all that it had is back with it.
	s.do("DELETE", "/workspaces/team?cascade=true", nil, "").is(204)
	s.do("GET", "/team/services/one", nil, "").is(404)
	s.do("POST", fmt.Sprint("/history/", good.Revision, "/restore"), nil, "").is(200)
	s.do("GET", "/team/services/one", nil, "").is(200).says("a.example")
	if s.at().Root != good.Root {
		t.Error("the configuration is not what it was")
	}
	// And one that was not there yet is gone again.
	s.do("POST", "/history/0/restore", nil, "").is(200)
	s.do("GET", "/workspaces/team", nil, "").is(404)
}

// TestWhoMaySeeAndRestore.
func TestWhoMaySeeAndRestore(t *testing.T) {
	g := newGuarded(t, nil)
	tokens := map[string]string{
		"admin": g.token(access.Request{Role: access.Admin}), "editor": g.token(access.Request{Role: access.Editor}), "reader": g.token(access.Request{Role: access.ReadOnly}),
	}
	if w := g.ask("POST", "/workspaces", tokens["admin"], `{"name":"team"}`); w.Code != 201 {
		t.Fatal(w.Body)
	}
	if w := g.ask("POST", "/team/services", tokens["editor"], `{"name":"one","host":"h"}`); w.Code != 201 {
		t.Fatal(w.Body)
	}
	tokens["team editor"] = g.token(access.Request{Role: access.Editor, Workspace: "team"})
	tokens["team reader"] = g.token(access.Request{Role: access.ReadOnly, Workspace: "team"})
	for _, test := range []struct {
		who, method, path string
		want              int
	}{
		{"reader", "GET", "/history", 200},
		{"reader", "GET", "/history/2/preview", 200},
		{"reader", "POST", "/history/2/restore", 403},
		{"editor", "POST", "/history/2/restore", 200},
		{"team reader", "GET", "/history", 403},
		{"team reader", "GET", "/team/history", 200},
		{"team reader", "POST", "/team/history/2/restore", 403},
		{"team editor", "POST", "/history/2/restore", 403},
		{"team editor", "POST", "/default/history/2/restore", 403},
		{"team editor", "POST", "/team/history/1/restore", 200},
		{"editor", "POST", "/history/0/restore", 403}, // the workspace would go
		{"admin", "POST", "/history/0/restore", 200},
	} {
		if w := g.ask(test.method, test.path, tokens[test.who], ""); w.Code != test.want {
			t.Errorf("%s %s by %s: %d %s, want %d", test.method, test.path, test.who, w.Code, w.Body, test.want)
		}
	}
	w := g.ask("GET", "/history", tokens["reader"], "")
	if r := (&response{t: t, body: w.Body.String()}); w.Code == 200 {
		r.says(`"actor":"editorteam"`)
	}
}
