package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/storetest"
)

func open(t testing.TB, path string) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	for _, tt := range []struct {
		name        string
		rewriteFrom int
		key         []byte
	}{{"single changes", 1 << 30, nil}, {"kinds written again", 0, nil}, {"encrypted", 20, bytes.Repeat([]byte{7}, 32)}} {
		t.Run(tt.name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) store.Store {
				s, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "store.db"), Key: tt.key})
				if err != nil {
					t.Fatal(err)
				}
				bolt.SetRewriteFrom(s, tt.rewriteFrom)
				t.Cleanup(func() {
					if err := s.Check(context.Background()); err != nil && !errors.Is(err, store.ErrClosed) {
						t.Error(err)
					}
					bolt.CheckPages(t, s)
					_ = s.Close()
				})
				return s
			})
		})
	}
}
