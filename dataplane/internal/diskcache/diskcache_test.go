package diskcache_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/diskcache"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// writer keeps a configuration and saves its changes.
type writer struct {
	t        *testing.T
	cache    *diskcache.Cache
	tree     *roothash.Tree
	bodies   map[string][]byte
	position config.Position
}

func newWriter(t *testing.T, dir string) *writer {
	t.Helper()
	return newKeyedWriter(t, dir, nil)
}

func newKeyedWriter(t *testing.T, dir string, key []byte) *writer {
	t.Helper()
	c, err := diskcache.Open(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &writer{t: t, cache: c, tree: roothash.New(), bodies: map[string][]byte{}}
}

func (w *writer) whole() []config.Change {
	var out []config.Change
	for id, body := range w.bodies {
		out = append(out, config.Change{Op: config.Put, Kind: "services", ID: id, Body: body})
	}
	return out
}

func (w *writer) put(whole bool, ids ...string) config.Position {
	w.t.Helper()
	u := config.Update{Whole: whole, From: w.position}
	for _, id := range ids {
		body := fmt.Appendf(nil, `{"id":%q,"revision":%d}`, id, w.position.Revision+1)
		if old, ok := w.bodies[id]; ok {
			w.tree.Delete("services", id, old)
		}
		w.tree.Put("services", id, body)
		w.bodies[id] = body
		u.Changes = append(u.Changes, config.Change{Op: config.Put, Kind: "services", ID: id, Body: body})
	}
	if whole {
		u.Changes = w.whole()
	}
	w.position = config.Position{Lineage: "l", Generation: 1, Revision: w.position.Revision + 1, Root: w.tree.Root()}
	u.To = w.position
	if err := w.cache.Save(u, func() (config.Position, []config.Change) { return w.position, w.whole() }); err != nil {
		w.t.Fatal(err)
	}
	return w.position
}

func load(t *testing.T, dir string) diskcache.Loaded {
	t.Helper()
	return loadKeyed(t, dir, nil)
}

func loadKeyed(t *testing.T, dir string, key []byte) diskcache.Loaded {
	t.Helper()
	c, err := diskcache.Open(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return c.Load(nil)
}

func TestLoadGivesBackWhatWasSaved(t *testing.T) {
	dir := t.TempDir()
	if got := load(t, dir); !got.Update.To.IsZero() || len(got.Faults) > 0 {
		t.Fatalf("empty cache loads %+v", got)
	}
	w := newWriter(t, dir)
	w.put(true, "a", "b")
	w.put(false, "b", "c")
	want := w.put(false, "d")
	got := load(t, dir)
	if got.Update.To != want || len(got.Faults) > 0 || len(got.Update.Changes) != 4 {
		t.Fatalf("loaded %v with %d entities and faults %v, want %v", got.Update.To, len(got.Update.Changes), got.Faults, want)
	}
	for _, c := range got.Update.Changes {
		if !bytes.Equal(c.Body, w.bodies[c.ID]) {
			t.Errorf("%s: body %s, want %s", c.ID, c.Body, w.bodies[c.ID])
		}
	}
}

func TestLogGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	w := newWriter(t, dir)
	w.put(true, "a")
	w.put(false, "b")
	_ = w.cache.Close()
	c, err := diskcache.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.cache = c
	c.Load(nil)
	want := w.put(false, "c")
	_ = c.Close()
	if got := load(t, dir); got.Update.To != want {
		t.Errorf("loaded %v, want %v", got.Update.To, want)
	}
	bases, _ := filepath.Glob(filepath.Join(dir, "*.base"))
	if len(bases) != 1 {
		t.Errorf("%d bases, want the log to go on below one", len(bases))
	}
}

func TestDamageFallsBack(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"deleted":   os.Remove,
		"truncated": func(p string) error { return os.Truncate(p, 20) },
		"empty":     func(p string) error { return os.Truncate(p, 0) },
		"flipped": func(p string) error {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			b[len(b)/2] ^= 1
			return os.WriteFile(p, b, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := newWriter(t, dir)
			before := w.put(true, "a")
			w.put(true, "b")
			_ = w.cache.Close()
			if err := damage(filepath.Join(dir, "00000002.base")); err != nil {
				t.Fatal(err)
			}
			got := load(t, dir)
			if got.Update.To != before {
				t.Errorf("loaded %v, want the base before, %v", got.Update.To, before)
			}
			if name != "deleted" && len(got.Faults) == 0 {
				t.Error("the damage is not named")
			}
			if err := damage(filepath.Join(dir, "00000001.base")); err != nil {
				t.Fatal(err)
			}
			if got := load(t, dir); !got.Update.To.IsZero() {
				t.Errorf("loaded %v from nothing but damage", got.Update.To)
			}
		})
	}
}

func TestTornLogIsCut(t *testing.T) {
	dir := t.TempDir()
	w := newWriter(t, dir)
	w.put(true, "a")
	want := w.put(false, "b")
	log := filepath.Join(dir, "00000001.log")
	before, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	w.put(false, "c")
	_ = w.cache.Close()
	after, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for size := before.Size(); size < after.Size(); size++ {
		if err := os.WriteFile(log, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if got := load(t, dir); got.Update.To != want {
			t.Fatalf("log of %d bytes: loaded %v, want %v", size, got.Update.To, want)
		}
	}
}

func TestThreeBasesStay(t *testing.T) {
	dir := t.TempDir()
	w := newWriter(t, dir)
	for range 6 {
		w.put(true, "a")
	}
	bases, _ := filepath.Glob(filepath.Join(dir, "*.base"))
	if len(bases) != 3 {
		t.Errorf("%d bases, want 3", len(bases))
	}
	for _, path := range bases {
		if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte("SLBASE1\n"), []byte("SLWLOG1\n"))
	f.Add([]byte{}, []byte{0, 1, 2})
	f.Fuzz(func(t *testing.T, base, log []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000001.base"), base, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "00000001.log"), log, 0o600); err != nil {
			t.Fatal(err)
		}
		load(t, dir)
	})
}
