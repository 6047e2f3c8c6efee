package admin_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
)

// newCatalog makes the real catalog on a store.
func newCatalog(t *testing.T, st store.Store, kinds *entity.Kinds) *catalog.Catalog {
	t.Helper()
	c, err := catalog.New(t.Context(), catalog.Options{Store: st, Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
