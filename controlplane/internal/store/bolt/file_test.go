package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
)

func put(t testing.TB, s *bolt.Store, id, body string) store.Position {
	t.Helper()
	p, err := s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error {
		return w.Put("k", id, []byte(body), []store.Index{{Name: "k.u", Key: id, Exclusive: true}, {Name: "k.m", Key: "x"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// fill makes a store of some pages and returns its position.
func fill(t testing.TB, path string, entities int) store.Position {
	t.Helper()
	s := open(t, path)
	p, err := s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error {
		for i := range entities {
			id := fmt.Sprintf("%06d", i)
			if err := w.Put("k", id, bytes.Repeat([]byte(id), 50), []store.Index{{Name: "k.u", Key: id, Exclusive: true}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	put(t, s, "1", "one")
	want := put(t, s, "2", "two")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	got, err := s.Position()
	if err != nil || got != want {
		t.Errorf("got %+v %v, want %+v", got, err, want)
	}
	next := put(t, s, "3", "three")
	if next.Lineage != want.Lineage || next.Generation != want.Generation || next.Revision != want.Revision+1 {
		t.Errorf("after %+v comes %+v", want, next)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v %v", info.Mode(), err)
	}
	if other := open(t, filepath.Join(t.TempDir(), "other.db")); func() bool { p, _ := other.Position(); return p.Lineage == want.Lineage }() {
		t.Error("two stores have one lineage")
	}
}

func TestOpenRefuses(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole.db")
	fill(t, whole, 2000)
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	// Where a body is: with the entity, and in the change set.
	text := bytes.Repeat([]byte("001000"), 50)
	at, other := bytes.Index(good, text), bytes.LastIndex(good, text)
	if at < 0 || other == at {
		t.Fatal("the body is not there twice")
	}
	zero := func(from, to int) []byte {
		b := bytes.Clone(good)
		clear(b[from:to])
		return b
	}
	flipped := bytes.Clone(good)
	flipped[at+10] ^= 1
	flippedOther := bytes.Clone(good)
	flippedOther[other+10] ^= 1
	for name, content := range map[string][]byte{
		"empty":         {},
		"zeroed":        zero(0, len(good)),
		"text":          []byte("this is not a store, it is a text file that somebody put here"),
		"truncated":     good[:at+100],
		"one page":      good[:page],
		"torn":          good[:page*3+100],
		"zeroed metas":  zero(0, 2*page),
		"zeroed page":   zero(at/page*page, at/page*page+page),
		"zeroed body":   zero(at, at+30),
		"other page":    zero(other/page*page, other/page*page+page),
		"other body":    zero(other, other+30),
		"flipped bit":   flipped,
		"flipped other": flippedOther,
		"zeroed middle": zero(4*page, len(good)),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := bolt.Open(t.Context(), bolt.Options{Path: path, RestoreCommand: "put it back"})
			if err == nil {
				_ = s.Close()
				t.Fatal("it was opened")
			}
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "put it back") || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
	t.Run("any page", func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a test wants the same numbers each time
		for range 60 {
			content, from := bytes.Clone(good), rnd.IntN(len(good)-page)
			for i := range 1 + rnd.IntN(page) {
				content[from+i] = byte(rnd.UintN(256))
			}
			path := filepath.Join(t.TempDir(), "store.db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			// Damage in free pages or in one of the two metas does no harm.
			s, err := bolt.Open(t.Context(), bolt.Options{Path: path})
			if err != nil {
				continue
			}
			if err := s.View(func(r store.Tx) error {
				n, err := r.Count("k")
				if n != 2000 && n != 0 {
					t.Errorf("%d entities are left", n)
				}
				return err
			}); err != nil {
				t.Error(err)
			}
			_ = s.Close()
		}
	})
}

func TestOpenRefusesOthers(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "store.db")
	s := open(t, path)
	if _, err := bolt.Open(t.Context(), bolt.Options{Path: path}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("a store in use gave %v", err)
	}
	if _, err := bolt.Restore(t.Context(), bytes.NewReader(backup(t, s)), bolt.Options{Path: path}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("restoring over a store in use gave %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(t.Context(), bolt.Options{}); err == nil {
		t.Error("a store without path was opened")
	}
	if _, err := bolt.Open(t.Context(), bolt.Options{Path: folder}); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(folder, "no", "store.db")}); err == nil {
		t.Error("a store in no folder was opened")
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(func(b *bbolt.Tx) error {
		return b.Bucket([]byte("meta")).Put([]byte("version"), []byte{0, 0, 0, 99})
	}), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(t.Context(), bolt.Options{Path: path}); !errors.Is(err, store.ErrNewer) {
		t.Errorf("a newer store gave %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	big := filepath.Join(folder, "big.db")
	fill(t, big, 3000)
	if _, err := bolt.Open(ctx, bolt.Options{Path: big}); !errors.Is(err, context.Canceled) {
		t.Errorf("opening after cancel gave %v", err)
	}
}

// TestCreateInterrupted: what is left of a store that was not made to the end is no store.
func TestCreateInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, open(t, path), "1", "one")
}

func TestCompaction(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options bolt.Options
		body    string
		check   func(first, n uint64) bool
	}{
		{"by number", bolt.Options{LogRevisions: 10}, "x", func(first, n uint64) bool { return n-first+1 >= 10 && n-first+1 < 10+64 }},
		{"by size", bolt.Options{LogBytes: 40_000}, strings.Repeat("x", 1000), func(first, n uint64) bool { return n-first+1 < 20 && n-first+1 > 14 }},
		{"one too large", bolt.Options{LogBytes: 100}, strings.Repeat("x", 1000), func(first, n uint64) bool { return first >= n }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Path = filepath.Join(t.TempDir(), "store.db")
			s, err := bolt.Open(t.Context(), tt.options)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			var n uint64
			for i := range 150 {
				n = put(t, s, "1", fmt.Sprint(i, tt.body)).Revision
			}
			first := n + 1
			for first > 1 && reaches(t, s, first-2) {
				first--
			}
			if !tt.check(first, n) {
				t.Errorf("the log starts at %d of %d", first, n)
			}
			if reaches(t, s, 0) || !reaches(t, s, n) || !reaches(t, s, n+5) {
				t.Error("the log reaches where it should not, or does not where it should")
			}
			if err := s.Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOmitted: what comes before and after a change set that is too large is kept.
func TestOmitted(t *testing.T) {
	s, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "store.db"), LogBytes: 4000})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	put(t, s, "1", "small")
	put(t, s, "1", strings.Repeat("x", 2000))
	n := put(t, s, "1", "small again").Revision
	var seen []string
	read := func(after uint64) error {
		seen = nil
		return s.View(func(r store.Tx) error {
			return r.ChangeSets(after, func(c *store.ChangeSet) bool {
				seen = append(seen, fmt.Sprint(c.To.Revision, len(c.Changes), c.Omitted))
				return true
			})
		})
	}
	if err := read(n - 3); !errors.Is(err, store.ErrCompacted) || !slices.Equal(seen, []string{fmt.Sprint(n-2, 1, false), fmt.Sprint(n-1, 0, true)}) {
		t.Errorf("got %q, %v", seen, err)
	}
	if err := read(n - 1); err != nil || !slices.Equal(seen, []string{fmt.Sprint(n, 1, false)}) {
		t.Errorf("got %q, %v", seen, err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func reaches(t *testing.T, s *bolt.Store, after uint64) bool {
	t.Helper()
	err := s.View(func(r store.Tx) error {
		return r.ChangeSets(after, func(*store.ChangeSet) bool { return true })
	})
	if err != nil && !errors.Is(err, store.ErrCompacted) {
		t.Fatal(err)
	}
	return err == nil
}

func backup(t *testing.T, s *bolt.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := s.Backup(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("backup of %d bytes, %d written: %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func TestBackupAndRestore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	kept := put(t, s, "1", "one")
	copied := backup(t, s)
	put(t, s, "2", "two")
	raised, err := s.RaiseGeneration()
	if err != nil || raised.Generation != kept.Generation+1 || raised.Revision != kept.Revision+1 {
		t.Errorf("raised to %+v, %v", raised, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(copied)
	clear(damaged[len(damaged)/2:])
	if _, err := bolt.Restore(t.Context(), bytes.NewReader(damaged), bolt.Options{Path: path}); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("restoring a damaged backup gave %v", err)
	}
	got, err := bolt.Restore(t.Context(), bytes.NewReader(copied), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	want := kept
	want.Generation = raised.Generation + 1
	if got != want {
		t.Errorf("restored %+v, want %+v", got, want)
	}
	s = open(t, path)
	if p, _ := s.Position(); p != want {
		t.Errorf("opened at %+v, want %+v", p, want)
	}
	if next := put(t, s, "3", "three"); next.Generation != want.Generation || next.Revision != want.Revision+1 {
		t.Errorf("after a restore comes %+v", next)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Restore(t.Context(), bytes.NewReader(copied), bolt.Options{Path: path}); err != nil {
		t.Errorf("restoring over a damaged store: %v", err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("%v were left over", left)
	}
}
