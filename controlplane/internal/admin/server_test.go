package admin_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/history"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const nodeID = "7ca2380f-d638-4962-8ccb-3b50b571ecb7"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an Admin API on a store of its own.
type server struct {
	*httptest.Server
	t     *testing.T
	api   *admin.API
	store *bolt.Store
	log   *audit.Log // which the API has when a test gives it
}

func newServer(t *testing.T, change func(o *admin.Options)) *server {
	t.Helper()
	return newServerOf(t, entity.TraditionalCompatible, change)
}

// newServerOf makes a server whose routes are of a flavor.
func newServerOf(t *testing.T, flavor entity.Flavor, change func(o *admin.Options)) *server {
	t.Helper()
	kinds := entity.NewKinds(entity.Options{
		Flavor: flavor, Plugins: plugins.Bundled().Schema, Expression: expression.Validate, ExpressionHints: expression.Hints, Extra: plugins.Bundled().Entities(),
	})
	st, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "sluice.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	log, err := audit.New(audit.Options{Store: st, Kinds: kinds, IgnoreMethods: []string{"GET", "HEAD", "OPTIONS"}})
	if err != nil {
		t.Fatal(err)
	}
	c := newCatalog(t, log.Store(), kinds)
	o := admin.Options{
		Catalog: c, Kinds: kinds, Plugins: plugins.Bundled(), Fleet: &fleet{}, LogLevel: &level{now: "notice"},
		Position: st.Position, NodeID: nodeID, Hostname: "host", History: newHistory(t, st, kinds),
	}
	if change != nil {
		change(&o)
	}
	api, err := admin.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{log: log, store: st, Server: httptest.NewUnstartedServer(api), t: t, api: api}
	s.Config.ConnState = api.ConnState
	s.Start()
	t.Cleanup(func() {
		s.Client().CloseIdleConnections()
		s.Close()
		api.Close()
	})
	return s
}

func newHistory(t *testing.T, st store.Store, kinds *entity.Kinds) *history.History {
	t.Helper()
	h, err := history.New(history.Options{
		Store: st, Kinds: kinds, Mask: func(kind string, o schema.Object) (schema.Object, []string) { return audit.Mask(kinds, kind, o) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

type headers map[string]string

type response struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   string
}

func (s *server) do(method, path string, h headers, body string) *response {
	s.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, reader)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range h {
		request.Header.Set(name, value)
	}
	r, err := s.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	got, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return &response{t: s.t, what: method + " " + path + " " + body, status: r.StatusCode, header: r.Header, body: string(got)}
}

func (r *response) is(status int) *response {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("%s: %d %s, want %d", r.what, r.status, r.body, status)
	}
	return r
}

func (r *response) says(text string) *response {
	r.t.Helper()
	if !strings.Contains(r.body, text) {
		r.t.Errorf("%s: %s does not say %s", r.what, r.body, text)
	}
	return r
}

func (r *response) into(v any) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		r.t.Fatalf("%s: %v in %s", r.what, err, r.body)
	}
}
