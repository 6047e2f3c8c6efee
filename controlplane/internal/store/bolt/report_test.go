package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
)

func filled(t *testing.T, key []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.db")
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := s.Update(t.Context(), store.Info{}, func(tx store.WriteTx) error {
			id := fmt.Sprintf("id-%02d", i)
			return errors.Join(
				tx.Put("services", id, fmt.Appendf(nil, `{"id":%q,"mark":"needle-%02d"}`, id, i), []store.Index{{Name: "services.name", Key: id, Exclusive: true}}),
				tx.PutLocal("notes", id, []byte(`{}`), nil),
			)
		}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.Verify(t.Context(), nil)
	if err != nil || len(r.Problems) > 0 || r.Entities != 20 || r.Position.Revision != 20 {
		t.Errorf("open: %+v, %v", r, err)
	}
	if _, err := bolt.Verify(t.Context(), bolt.Options{Path: path, Key: key}, nil); !errors.Is(err, store.ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVerify(t *testing.T) {
	path := filled(t, nil)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	r, err := bolt.Verify(t.Context(), bolt.Options{Path: path}, func(tx store.Tx, found func(string)) error {
		return tx.List("services", "", 100, func(id string, _ []byte) bool {
			if seen++; id == "id-07" {
				found("not this one")
			}
			return true
		})
	})
	if err != nil || r.Entities != 20 || r.Locals != 20 || r.ChangeSets != 20 || r.Position.Revision != 20 || seen != 20 {
		t.Errorf("whole: %+v, %v", r, err)
	}
	if !slices.Equal(r.Problems, []string{"not this one"}) {
		t.Errorf("problems: %q", r.Problems)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Error("the file has changed")
	}

	for name, damage := range map[string]func(b []byte) []byte{
		"a flipped byte in every copy of a body": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("needle-07"), []byte("needle-x7")) },
		"a torn end":                             func(b []byte) []byte { return b[:5*os.Getpagesize()] },
		"no store":                               func([]byte) []byte { return bytes.Repeat([]byte("x"), 1<<16) },
		"empty":                                  func([]byte) []byte { return nil },
		"zeroed page":                            func(b []byte) []byte { return zeroed(b) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, damage(bytes.Clone(before)), 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := bolt.Verify(t.Context(), bolt.Options{Path: path}, nil)
			if err != nil || len(r.Problems) == 0 {
				t.Errorf("got %+v, %v, want problems", r, err)
			}
			t.Log(strings.Join(r.Problems, "\n"))
		})
	}
	if _, err := bolt.Verify(t.Context(), bolt.Options{Path: path + ".none"}, nil); err == nil {
		t.Error("no file: no error")
	}
	if _, err := os.Stat(path + ".none"); err == nil {
		t.Error("verify makes a file")
	}
}

// zeroed loses the pages with an entity: any one of them may be free.
func zeroed(b []byte) []byte {
	for {
		at := bytes.LastIndex(b, []byte("needle-07"))
		if at < 0 {
			return b
		}
		page := at / os.Getpagesize() * os.Getpagesize()
		clear(b[page : page+os.Getpagesize()])
	}
}

func TestVerifyEncrypted(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	path := filled(t, key)
	if r, err := bolt.Verify(t.Context(), bolt.Options{Path: path, Key: key}, nil); err != nil || len(r.Problems) > 0 || !r.Encrypted {
		t.Errorf("with the key: %+v, %v", r, err)
	}
	for _, wrong := range [][]byte{nil, bytes.Repeat([]byte{8}, 32)} {
		if _, err := bolt.Verify(t.Context(), bolt.Options{Path: path, Key: wrong}, nil); !errors.Is(err, store.ErrKey) {
			t.Errorf("with another key: %v", err)
		}
	}
}
