package catalog_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/entity"
)

func TestExamine(t *testing.T) {
	st, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "s.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	const a, b = "11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000"
	write := func(kind, id, body string) {
		t.Helper()
		if _, err := st.Update(t.Context(), store.Info{}, func(tx store.WriteTx) error { return tx.Put(kind, id, []byte(body), nil) }); err != nil {
			t.Fatal(err)
		}
	}
	examine := func() []string {
		t.Helper()
		var problems []string
		if err := st.View(func(tx store.Tx) error {
			return catalog.Examine(tx, entity.NewKinds(entity.Options{}), func(p string) { problems = append(problems, p) })
		}); err != nil {
			t.Fatal(err)
		}
		return problems
	}
	write("services", a, `{"id":"`+a+`"}`)
	write("routes", a, `{"id":"`+a+`","service":{"id":"`+a+`"}}`)
	write("routes", b, `{"id":"`+b+`","service":null}`)
	if got := examine(); len(got) > 0 {
		t.Errorf("whole: %q", got)
	}
	write("routes", b, `{"id":"`+a+`","service":{"id":"`+b+`"}}`)
	write("upstreams", a, `{"id":`)
	write("targets", a, `{"id":"`+a+`","upstream":"x"}`)
	got := strings.Join(examine(), "\n")
	for _, want := range []string{
		"routes " + b + ` has "` + a + `" as its id`, "routes " + b + " refers to services " + b + " in service", "upstreams " + a + " is no JSON",
		"targets " + a + " has no reference in upstream",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("problems lack %q:\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 4 || slices.Contains(examine(), "") {
		t.Errorf("%d problems:\n%s", n, got)
	}
}
