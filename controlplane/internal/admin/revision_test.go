package admin_test

import (
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// TestRevisions: what the log, the audit log and the nodes know of a revision, in one place.
func TestRevisions(t *testing.T) {
	f := &fleet{became: hub.Revision{
		Known: true, Noted: time.Now(), Last: 0,
		Applied: []hub.NodeRevision{{ID: "n1", Hostname: "east", Connected: true, At: time.Now().Add(time.Minute), Serving: store.Position{Revision: 3}}},
		Refused: []hub.NodeRevision{{ID: "n2", Hostname: "west", Connected: true, At: time.Now(), Serving: store.Position{Revision: 1}, Errors: []hub.Refusal{
			{Kind: "plugins", ID: "p", Name: "rate-limiting", Field: "config.minute", Message: "too large"},
		}}},
		Missing: []hub.NodeRevision{{ID: "n3"}},
	}}
	s := newServer(t, func(o *admin.Options) { o.Fleet = f })
	s.do("POST", "/services", asJSON, `{"name":"one","host":"h"}`).is(201)
	s.do("POST", "/services/one/routes", asJSON, `{"name":"r","paths":["/r"]}`).is(201)
	last := s.do("DELETE", "/routes/r", nil, "").is(204).header.Get("X-Sluice-Revision")
	var page struct {
		Data []struct {
			Revision                                 int64
			Committed                                float64 `json:"committed_at"`
			Changes, Created, Updated, Deleted, Size int
			Kinds, Nodes                             map[string]int
			Summary                                  string
			Root                                     string
		}
		Next, Offset *string
	}
	s.do("GET", "/clustering/revisions?size=2", nil, "").is(200).into(&page)
	if len(page.Data) != 2 || page.Next == nil {
		t.Fatalf("got %+v", page)
	}
	r := page.Data[0]
	if strconv.FormatInt(r.Revision, 10) != last || r.Deleted != 1 || r.Created != 0 || r.Kinds["routes"] != 1 || r.Nodes["applied"] != 1 || r.Nodes["refused"] != 1 || r.Nodes["missing"] != 1 || len(r.Root) != 64 {
		t.Errorf("the newest: %+v", r)
	}
	if at := time.UnixMilli(int64(r.Committed * 1000)); time.Since(at).Abs() > time.Minute || r.Summary != "delete routes" {
		t.Errorf("of %v: %+v", at, r)
	}
	if r := page.Data[1]; r.Created != 1 || r.Size < 100 {
		t.Errorf("the one before: %+v", r)
	}
	s.do("GET", *page.Next, nil, "").is(200).into(&page)
	if len(page.Data) == 0 || page.Data[0].Kinds["services"] != 1 {
		t.Errorf("the next page: %+v", page)
	}
	var one struct {
		Revision int64
		Known    bool
		Position struct{ Root string }
		Applied  []struct {
			ID       string
			At       float64
			AfterMS  float64 `json:"after_ms"`
			Serving  int64
			Hostname string
		}
		Refused []struct {
			ID     string
			Errors []map[string]any
		}
		Missing []map[string]any
	}
	s.do("GET", "/clustering/revisions/"+last, nil, "").is(200).into(&one)
	if strconv.FormatInt(one.Revision, 10) != last || !one.Known || one.Position.Root != r.Root {
		t.Errorf("got %+v", one)
	}
	if a := one.Applied[0]; a.ID != "n1" || a.Hostname != "east" || a.AfterMS < 50_000 || a.AfterMS > 70_000 || a.Serving != 3 {
		t.Errorf("applied %+v", one.Applied)
	}
	if e := one.Refused[0]; e.ID != "n2" || e.Errors[0]["field"] != "config.minute" || e.Errors[0]["message"] != "too large" || e.Errors[0]["kind"] != "plugins" {
		t.Errorf("refused %+v", one.Refused)
	}
	if m := one.Missing[0]; m["id"] != "n3" || m["at"] != nil || m["connected"] != false {
		t.Errorf("missing %+v", one.Missing)
	}
	s.do("GET", "/clustering/revisions/99", nil, "").is(404)
	s.do("GET", "/clustering/revisions/0", nil, "").is(410).says(`"oldest":1`)
	s.do("GET", "/clustering/revisions/x", nil, "").is(400).says("revision: expected a number")
	s.do("GET", "/clustering/revisions?offset=x", nil, "").is(400)
	s.do("DELETE", "/clustering/revisions/1", nil, "").is(405)
}

// TestRevisionsAreAttributed to the token that made them.
func TestRevisionsAreAttributed(t *testing.T) {
	g := newGuarded(t, nil)
	editor, reader := g.token(access.Request{Name: "luka", Role: access.Editor}), g.token(access.Request{Role: access.ReadOnly})
	bound := g.token(access.Request{Role: access.Admin, Workspace: "default"})
	w := g.ask("POST", "/services", editor, `{"name":"one","host":"h"}`)
	revision := w.Header().Get("X-Sluice-Revision")
	says := func(w *httptest.ResponseRecorder, text string) {
		t.Helper()
		if r := (&response{t: t, body: w.Body.String()}); w.Code == 200 {
			r.says(text)
		} else {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	says(g.ask("GET", "/clustering/revisions", reader, ""), `"actor":"luka"`)
	says(g.ask("GET", "/clustering/revisions/"+revision, reader, ""), `"user_name":"luka"`)
	says(g.ask("GET", "/clustering/revisions/"+revision, reader, ""), `"method":"POST"`)
	if w := g.ask("GET", "/clustering/revisions", bound, ""); w.Code != 403 {
		t.Errorf("who has one workspace sees all revisions: %d", w.Code)
	}
}
