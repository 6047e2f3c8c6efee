package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/storetest"
)

var (
	keyA = bytes.Repeat([]byte{'a'}, 32)
	keyB = bytes.Repeat([]byte{'b'}, 32)
)

const secret = "a-secret-that-must-not-be-in-the-file"

func openKeyed(t testing.TB, path string, key, previous []byte) (*bolt.Store, error) {
	t.Helper()
	s, err := bolt.Open(t.Context(), bolt.Options{Path: path, Key: key, PreviousKey: previous})
	if err == nil {
		t.Cleanup(func() { _ = s.Close() })
	}
	return s, err
}

func TestConformanceEncrypted(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := openKeyed(t, filepath.Join(t.TempDir(), "store.db"), keyA, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Check(context.Background()); err != nil && !errors.Is(err, store.ErrClosed) {
				t.Error(err)
			}
		})
		return s
	})
}

// keep writes secrets to every place that a store has.
func keep(t *testing.T, s *bolt.Store, n int) store.Position {
	t.Helper()
	p, err := s.Update(t.Context(), store.Info{Actor: secret, Summary: secret}, func(w store.WriteTx) error {
		for i := range n {
			id := fmt.Sprint(i)
			indexes := []store.Index{{Name: "k.key", Key: secret + id, Exclusive: true}, {Name: "k.tag", Key: secret}, {Name: "k.all"}}
			if err := w.Put("k", id, []byte(secret+id), indexes); err != nil {
				return err
			}
		}
		if err := w.PutLocal("l", "1", []byte(secret), []store.Index{{Name: "l.key", Key: secret, Exclusive: true}}); err != nil {
			return err
		}
		return w.SetMeta("ca", []byte(secret))
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// kept compares what is there with what keep wrote.
func kept(t *testing.T, s *bolt.Store, n int) {
	t.Helper()
	if err := s.View(func(r store.Tx) error {
		for i := range n {
			id := fmt.Sprint(i)
			if body, err := r.Get("k", id); err != nil || string(body) != secret+id {
				t.Errorf("body %d is %q: %v", i, body, err)
			}
			if got, err := r.Lookup("k.key", secret+id); err != nil || got != id {
				t.Errorf("the index leads to %q: %v", got, err)
			}
		}
		for index, key := range map[string]string{"k.tag": secret, "k.all": ""} {
			found := 0
			if err := r.Scan(index, key, "", n+1, func(string) bool { found++; return true }); err != nil || found != n {
				t.Errorf("%s has %d: %v", index, found, err)
			}
		}
		if body, err := r.Get("l", "1"); err != nil || string(body) != secret {
			t.Errorf("the local body is %q: %v", body, err)
		}
		if value, err := r.Meta("ca"); err != nil || string(value) != secret {
			t.Errorf("the value is %q: %v", value, err)
		}
		sets := 0
		err := r.ChangeSets(0, func(set *store.ChangeSet) bool {
			sets++
			if set.Actor != secret || len(set.Changes) != n || string(set.Changes[0].Body) != secret+"0" {
				t.Errorf("change set %d is of %q", sets, set.Actor)
			}
			return true
		})
		if sets != 1 {
			t.Errorf("%d change sets", sets)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func hasSecret(t *testing.T, path string) bool {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(content, []byte(secret))
}

// TestKeys leads a store through all that can become of its key, which never changes its
// position nor what is in it.
func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	const n = 300
	s := open(t, path)
	want := keep(t, s, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !hasSecret(t, path) {
		t.Fatal("the test looks for the wrong text")
	}
	for _, step := range []struct {
		name          string
		key, previous []byte
		err           error
		clear         bool
	}{
		{"encrypt", keyA, nil, nil, false},
		{"open again", keyA, nil, nil, false},
		{"with a previous key that is not needed", keyA, keyB, nil, false},
		{"without the key", nil, nil, store.ErrKey, false},
		{"with another key", keyB, nil, store.ErrKey, false},
		{"change the key, with a wrong previous one", keyB, bytes.Repeat([]byte{'c'}, 32), store.ErrKey, false},
		{"change the key", keyB, keyA, nil, false},
		{"with the key before", keyA, nil, store.ErrKey, false},
		{"the changed key", keyB, nil, nil, false},
		{"decrypt", nil, keyB, nil, true},
		{"in clear", nil, nil, nil, true},
		{"encrypt again, with the same key", keyB, keyA, nil, false},
	} {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := openKeyed(t, path, step.key, step.previous)
		if !errors.Is(err, step.err) {
			t.Fatalf("%s: %v, want %v", step.name, err, step.err)
		}
		if err != nil {
			after, readErr := os.ReadFile(path)
			if readErr != nil || !bytes.Equal(before, after) {
				t.Fatalf("%s: the file was changed", step.name)
			}
			if strings.Contains(err.Error(), "restore") {
				t.Errorf("%s: %v tells of damage", step.name, err)
			}
			continue
		}
		if got, err := s.Position(); err != nil || got != want {
			t.Errorf("%s: position %v, want %v", step.name, got, want)
		}
		kept(t, s, n)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := hasSecret(t, path); got != step.clear {
			t.Errorf("%s: a secret is in the file: %v", step.name, got)
		}
		if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
			t.Errorf("%s: left behind are %v", step.name, left)
		}
	}
	if _, err := openKeyed(t, path, []byte("short"), nil); err == nil || !strings.Contains(err.Error(), "the key has 5 bytes, want 32") {
		t.Errorf("a short key: %v", err)
	}
}

func TestWritesAreEncrypted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := openKeyed(t, path, keyA, nil)
	if err != nil {
		t.Fatal(err)
	}
	keep(t, s, 20)
	kept(t, s, 20)
	again, err := s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error {
		err := w.Put("k", "x", []byte("y"), []store.Index{{Name: "k.key", Key: secret + "3", Exclusive: true}})
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) || conflict.Key != secret+"3" || conflict.ID != "3" {
			t.Errorf("conflict %v", err)
		}
		// What is the same is not written, although it would be encrypted differently.
		return w.Put("k", "3", []byte(secret+"3"), []store.Index{{Name: "k.key", Key: secret + "3", Exclusive: true}, {Name: "k.tag", Key: secret}, {Name: "k.all"}})
	})
	if err != nil || again.Revision != 1 {
		t.Errorf("revision %d: %v", again.Revision, err)
	}
	if _, err := s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error { return w.Delete("k", "3") }); err != nil {
		t.Fatal(err)
	}
	if err := s.View(func(r store.Tx) error {
		_, err := r.Lookup("k.key", secret+"3")
		return err
	}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the index still has it: %v", err)
	}
	copied := backup(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if hasSecret(t, path) || bytes.Contains(copied, []byte(secret)) {
		t.Error("a secret is in the file or in its backup")
	}
	restored := filepath.Join(t.TempDir(), "store.db")
	if _, err := bolt.Restore(t.Context(), bytes.NewReader(copied), bolt.Options{Path: restored}); !errors.Is(err, store.ErrKey) {
		t.Errorf("restored without the key: %v", err)
	}
	if _, err := os.Stat(restored); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a restore that failed left %v", err)
	}
	if _, err := bolt.Restore(t.Context(), bytes.NewReader(copied), bolt.Options{Path: restored, Key: keyB, PreviousKey: keyA}); err != nil {
		t.Fatal(err)
	}
	if s, err = openKeyed(t, restored, keyB, nil); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Position(); err != nil || p.Revision != 2 || p.Generation != 2 {
		t.Errorf("restored to %v: %v", p, err)
	}
}

// TestTamperedValues changes each sealed value, puts values in each other's place, and
// takes the key away: nothing of it is served.
func TestTamperedValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := openKeyed(t, path, keyA, nil)
	if err != nil {
		t.Fatal(err)
	}
	keep(t, s, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bucket := func(b *bbolt.Tx, names ...string) *bbolt.Bucket {
		at := b.Bucket([]byte(names[0]))
		for _, name := range names[1:] {
			at = at.Bucket([]byte(name))
		}
		return at
	}
	flip := func(at *bbolt.Bucket, key []byte, i int) error {
		v := bytes.Clone(at.Get(key))
		v[(i+len(v))%len(v)] ^= 1
		return at.Put(key, v)
	}
	first := []byte{0, 0, 0, 0, 0, 0, 0, 1}
	for name, change := range map[string]func(b *bbolt.Tx) error{
		"nonce":       func(b *bbolt.Tx) error { return flip(bucket(b, "entity", "k"), []byte("0"), 0) },
		"body":        func(b *bbolt.Tx) error { return flip(bucket(b, "entity", "k"), []byte("0"), 20) },
		"tag":         func(b *bbolt.Tx) error { return flip(bucket(b, "entity", "k"), []byte("0"), -1) },
		"local":       func(b *bbolt.Tx) error { return flip(bucket(b, "local", "l"), []byte("1"), 20) },
		"change set":  func(b *bbolt.Tx) error { return flip(bucket(b, "log"), first, 20) },
		"value":       func(b *bbolt.Tx) error { return flip(bucket(b, "value"), []byte("ca"), 20) },
		"data key":    func(b *bbolt.Tx) error { return flip(bucket(b, "meta"), []byte("cipher"), -1) },
		"version":     func(b *bbolt.Tx) error { return flip(bucket(b, "meta"), []byte("cipher"), 0) },
		"no data key": func(b *bbolt.Tx) error { return bucket(b, "meta").Delete([]byte("cipher")) },
		"cut":         func(b *bbolt.Tx) error { return bucket(b, "entity", "k").Put([]byte("0"), []byte("x")) },
		"swapped": func(b *bbolt.Tx) error {
			at := bucket(b, "entity", "k")
			zero, one := bytes.Clone(at.Get([]byte("0"))), bytes.Clone(at.Get([]byte("1")))
			return errors.Join(at.Put([]byte("0"), one), at.Put([]byte("1"), zero))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			if err := os.WriteFile(path, good, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(change), db.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := openKeyed(t, path, keyA, nil); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

// TestKeyChangeInterrupted: what is left of a change of the key that did not end is
// nothing, and two processes can't change it at once.
func TestKeyChangeInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	want := keep(t, s, 10)
	if _, err := openKeyed(t, path, keyA, nil); !errors.Is(err, store.ErrInUse) {
		t.Errorf("the key of a store in use was changed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path + ".recode", path + ".recode.lock"} {
		if err := os.WriteFile(name, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := openKeyed(t, path, keyA, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Position(); err != nil || got != want {
		t.Errorf("position %v, want %v", got, want)
	}
	kept(t, s, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkUpdateEncrypted(b *testing.B) {
	for name, key := range map[string][]byte{"clear": nil, "encrypted": keyA} {
		b.Run(name, func(b *testing.B) {
			s, err := openKeyed(b, filepath.Join(b.TempDir(), "store.db"), key, nil)
			if err != nil {
				b.Fatal(err)
			}
			i := 0
			for b.Loop() {
				i++
				put(b, s, fmt.Sprint(i%1000), fmt.Sprint(i))
			}
		})
	}
}
