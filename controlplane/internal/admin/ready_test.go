package admin_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
)

func TestStatusListener(t *testing.T) {
	var sick error
	api, err := admin.New(admin.Options{
		Catalog: struct{ catalog.API }{}, Kinds: entity.NewKinds(entity.Options{}), Plugins: plugins.NewRegistry(nil), Fleet: &fleet{},
		Health: func() error { return sick },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	h := api.Status()
	for _, test := range []struct {
		method, path string
		sick         error
		status       int
		says         string
	}{
		{"GET", "/status/ready", nil, 200, `{"message":"ready"}`},
		{"GET", "/status/ready", errors.New("page 7 is torn"), 503, `{"message":"the store cannot be read"}`},
		{"GET", "/status", nil, 200, `"reachable":true`},
		{"GET", "/services", nil, 404, "Not found"},
		{"POST", "/status", nil, 405, "Method not allowed"},
	} {
		sick = test.sick
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), test.method, test.path, nil))
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
			t.Errorf("%s %s: %d %s, want %d %s", test.method, test.path, w.Code, w.Body, test.status, test.says)
		}
	}
}
