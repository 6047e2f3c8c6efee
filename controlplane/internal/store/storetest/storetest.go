// Package storetest is the suite that every store backend passes. It owns what a store
// must do; how a backend survives crashes and damage is the backend's own to test.
package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// Run runs the suite. open returns an empty store that is closed with the test.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	t.Helper()
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, s store.Store)
	}{
		{"empty", testEmpty},
		{"entities", testEntities},
		{"listing", testListing},
		{"exclusive indexes", testExclusive},
		{"multi indexes", testMulti},
		{"read your writes", testReadYourWrites},
		{"failed update", testFailedUpdate},
		{"panic", testPanic},
		{"context", testContext},
		{"no change no revision", testNoChange},
		{"collapse", testCollapse},
		{"local kinds", testLocal},
		{"change sets", testChangeSets},
		{"root", testRoot},
		{"meta", testMeta},
		{"bad names", testBadNames},
		{"copies", testCopies},
		{"notify", testNotify},
		{"isolation", testIsolation},
		{"concurrent updates", testConcurrent},
		{"random", testRandom},
		{"load", testLoad},
		{"load exchanges", testLoadExchange},
		{"load refused", testLoadRefused},
		{"close", testClose},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

// update runs fn and fails the test when that fails.
func update(t *testing.T, s store.Store, fn func(w store.WriteTx) error) store.Position {
	t.Helper()
	p, err := s.Update(t.Context(), store.Info{}, fn)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func view(t *testing.T, s store.Store, fn func(r store.Tx) error) {
	t.Helper()
	if err := s.View(fn); err != nil {
		t.Fatal(err)
	}
}

func unique(name, key string) store.Index { return store.Index{Name: name, Key: key, Exclusive: true} }

func multi(name, key string) store.Index { return store.Index{Name: name, Key: key} }

func get(t *testing.T, r store.Tx, kind, id string) string {
	t.Helper()
	b, err := r.Get(kind, id)
	if errors.Is(err, store.ErrNotFound) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func lookup(t *testing.T, r store.Tx, index, key string) string {
	t.Helper()
	id, err := r.Lookup(index, key)
	if errors.Is(err, store.ErrNotFound) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func list(t *testing.T, r store.Tx, kind, after string, limit int) []string {
	t.Helper()
	var out []string
	if err := r.List(kind, after, limit, func(id string, body []byte) bool {
		out = append(out, id+"="+string(body))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func scan(t *testing.T, r store.Tx, index, key, after string, limit int) []string {
	t.Helper()
	var out []string
	if err := r.Scan(index, key, after, limit, func(id string) bool {
		out = append(out, id)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func count(t *testing.T, r store.Tx, kind string) int {
	t.Helper()
	n, err := r.Count(kind)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// changeSets copies the change sets after a revision, without their times.
func changeSets(t *testing.T, s store.Store, after uint64) []store.ChangeSet {
	t.Helper()
	var out []store.ChangeSet
	view(t, s, func(r store.Tx) error {
		return r.ChangeSets(after, func(c *store.ChangeSet) bool {
			if c.At.IsZero() {
				t.Errorf("revision %d has no time", c.To.Revision)
			}
			copied := *c
			copied.At = copied.At.Truncate(1 << 62)
			copied.Changes = slices.Clone(c.Changes)
			for i := range copied.Changes {
				copied.Changes[i].Body = slices.Clone(copied.Changes[i].Body)
				copied.Changes[i].Before = slices.Clone(copied.Changes[i].Before)
			}
			out = append(out, copied)
			return true
		})
	})
	return out
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// checkRoot compares the position's root with one made from the bodies of kinds.
func checkRoot(t *testing.T, r store.Tx, kinds ...string) {
	t.Helper()
	tree := roothash.New()
	for _, kind := range kinds {
		if err := r.List(kind, "", 1<<30, func(id string, body []byte) bool {
			tree.Put(kind, id, body)
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := r.Position().Root, tree.Root(); got != want {
		t.Errorf("root is %s, the bodies have %s", got, want)
	}
}

func testEmpty(t *testing.T, s store.Store) {
	p, err := s.Position()
	if err != nil {
		t.Fatal(err)
	}
	if p.Lineage == "" || p.Generation == 0 || p.Revision != 0 || p.Root != roothash.New().Root() {
		t.Errorf("a new store is at %+v", p)
	}
	view(t, s, func(r store.Tx) error {
		equal(t, "position", r.Position(), p)
		equal(t, "get", get(t, r, "k", "1"), "-")
		equal(t, "get of nothing", get(t, r, "", ""), "-")
		equal(t, "lookup", lookup(t, r, "k.name", "x"), "-")
		equal(t, "lookup of nothing", lookup(t, r, "", ""), "-")
		equal(t, "list", list(t, r, "k", "", 10), []string(nil))
		equal(t, "scan", scan(t, r, "k.tags", "x", "", 10), []string(nil))
		equal(t, "count", count(t, r, "k"), 0)
		return nil
	})
	equal(t, "change sets", changeSets(t, s, 0), []store.ChangeSet(nil))
}

func testEntities(t *testing.T, s store.Store) {
	update(t, s, func(w store.WriteTx) error {
		return errors.Join(w.Put("k", "2", []byte("two"), nil), w.Put("k", "1", []byte("one"), nil), w.Put("l", "1", []byte{}, nil))
	})
	view(t, s, func(r store.Tx) error {
		equal(t, "k 1", get(t, r, "k", "1"), "one")
		equal(t, "k 2", get(t, r, "k", "2"), "two")
		equal(t, "l 1", get(t, r, "l", "1"), "")
		equal(t, "l 2", get(t, r, "l", "2"), "-")
		equal(t, "counts", []int{count(t, r, "k"), count(t, r, "l")}, []int{2, 1})
		return nil
	})
	update(t, s, func(w store.WriteTx) error {
		return errors.Join(w.Put("k", "1", []byte("uno"), nil), w.Delete("k", "2"))
	})
	view(t, s, func(r store.Tx) error {
		equal(t, "k", list(t, r, "k", "", 9), []string{"1=uno"})
		equal(t, "count", count(t, r, "k"), 1)
		return nil
	})
	_, err := s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error { return w.Delete("k", "2") })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleting what is not there gave %v", err)
	}
}

func testListing(t *testing.T, s store.Store) {
	ids := []string{"a", "b", "c", "d", "e"}
	update(t, s, func(w store.WriteTx) error {
		for _, id := range ids {
			if err := w.Put("k", id, []byte(id), nil); err != nil {
				return err
			}
		}
		return w.Put("kk", "z", []byte("z"), nil)
	})
	for _, tt := range []struct {
		after string
		limit int
		want  []string
	}{
		{"", 9, []string{"a=a", "b=b", "c=c", "d=d", "e=e"}},
		{"", 2, []string{"a=a", "b=b"}},
		{"b", 2, []string{"c=c", "d=d"}},
		{"bb", 1, []string{"c=c"}},
		{"e", 2, nil},
		{"", 0, nil},
	} {
		view(t, s, func(r store.Tx) error {
			equal(t, "after "+tt.after, list(t, r, "k", tt.after, tt.limit), tt.want)
			return nil
		})
	}
	view(t, s, func(r store.Tx) error {
		n := 0
		return errors.Join(r.List("k", "", 9, func(string, []byte) bool { n++; return n < 2 }), func() error {
			equal(t, "stopped after", n, 2)
			return nil
		}())
	})
}

func testExclusive(t *testing.T, s store.Store) {
	update(t, s, func(w store.WriteTx) error {
		return w.Put("k", "1", []byte("1"), []store.Index{unique("k.name", "x"), unique("k.code", "x")})
	})
	_, err := s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error {
		return w.Put("k", "2", []byte("2"), []store.Index{unique("k.code", "y"), unique("k.name", "x")})
	})
	var conflict *store.ConflictError
	if !errors.Is(err, store.ErrConflict) || !errors.As(err, &conflict) {
		t.Fatalf("a conflict gave %v", err)
	}
	equal(t, "conflict", *conflict, store.ConflictError{Index: "k.name", Key: "x", ID: "1"})
	update(t, s, func(w store.WriteTx) error { // a conflict leaves nothing in a transaction that goes on
		if err := w.Put("k", "2", []byte("2"), []store.Index{unique("k.code", "y"), unique("k.name", "x")}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a conflict gave %v", err)
		}
		return w.Put("k", "1", []byte("1b"), []store.Index{unique("k.name", "x2")})
	})
	view(t, s, func(r store.Tx) error {
		equal(t, "new name", lookup(t, r, "k.name", "x2"), "1")
		equal(t, "old name", lookup(t, r, "k.name", "x"), "-")
		equal(t, "old code", lookup(t, r, "k.code", "x"), "-")
		equal(t, "code of the conflict", lookup(t, r, "k.code", "y"), "-")
		equal(t, "entity of the conflict", get(t, r, "k", "2"), "-")
		return nil
	})
	update(t, s, func(w store.WriteTx) error { // free within the same transaction
		if err := w.Delete("k", "1"); err != nil {
			return err
		}
		return w.Put("k", "3", []byte("3"), []store.Index{unique("k.name", "x2")})
	})
	view(t, s, func(r store.Tx) error {
		equal(t, "taken over", lookup(t, r, "k.name", "x2"), "3")
		return nil
	})
}

func testMulti(t *testing.T, s store.Store) {
	update(t, s, func(w store.WriteTx) error {
		return errors.Join(
			w.Put("k", "1", []byte("1"), []store.Index{multi("k.tags", "a"), multi("k.tags", "a"), multi("k.tags", "ab"), multi("k.all", "")}),
			w.Put("k", "2", []byte("2"), []store.Index{multi("k.tags", "a"), multi("k.all", "")}),
			w.Put("k", "b3", []byte("3"), []store.Index{multi("k.tags", "a"), multi("k.tags", "a\x00b")}),
		)
	})
	view(t, s, func(r store.Tx) error {
		equal(t, "a", scan(t, r, "k.tags", "a", "", 9), []string{"1", "2", "b3"})
		equal(t, "ab", scan(t, r, "k.tags", "ab", "", 9), []string{"1"})
		equal(t, "a NUL b", scan(t, r, "k.tags", "a\x00b", "", 9), []string{"b3"})
		equal(t, "none", scan(t, r, "k.tags", "b", "", 9), []string(nil))
		equal(t, "empty key", scan(t, r, "k.all", "", "", 9), []string{"1", "2"})
		equal(t, "after 1", scan(t, r, "k.tags", "a", "1", 1), []string{"2"})
		equal(t, "after 11", scan(t, r, "k.tags", "a", "11", 9), []string{"2", "b3"})
		equal(t, "no room", scan(t, r, "k.tags", "a", "", 0), []string(nil))
		return nil
	})
	update(t, s, func(w store.WriteTx) error {
		return errors.Join(w.Put("k", "1", []byte("1"), []store.Index{multi("k.tags", "c")}), w.Delete("k", "2"))
	})
	view(t, s, func(r store.Tx) error {
		equal(t, "a", scan(t, r, "k.tags", "a", "", 9), []string{"b3"})
		equal(t, "c", scan(t, r, "k.tags", "c", "", 9), []string{"1"})
		equal(t, "empty key", scan(t, r, "k.all", "", "", 9), []string(nil))
		return nil
	})
}

func testReadYourWrites(t *testing.T, s store.Store) {
	update(t, s, func(w store.WriteTx) error {
		return errors.Join(
			w.Put("k", "b", []byte("b"), []store.Index{multi("k.m", "x"), unique("k.u", "b")}),
			w.Put("k", "d", []byte("d"), []store.Index{multi("k.m", "x"), unique("k.u", "d")}),
		)
	})
	update(t, s, func(w store.WriteTx) error {
		err := errors.Join(
			w.Put("k", "a", []byte("a"), []store.Index{multi("k.m", "x"), unique("k.u", "a")}),
			w.Put("k", "c", []byte("c"), []store.Index{multi("k.m", "x")}),
			w.Put("k", "e", []byte("e"), []store.Index{multi("k.m", "y")}),
			w.Put("k", "d", []byte("D"), []store.Index{multi("k.m", "y")}),
			w.Delete("k", "b"),
			w.SetMeta("m", []byte("v")),
		)
		equal(t, "list", list(t, w, "k", "", 9), []string{"a=a", "c=c", "d=D", "e=e"})
		equal(t, "list after", list(t, w, "k", "a", 2), []string{"c=c", "d=D"})
		equal(t, "list after what is gone", list(t, w, "k", "b", 1), []string{"c=c"})
		equal(t, "scan x", scan(t, w, "k.m", "x", "", 9), []string{"a", "c"})
		equal(t, "scan y", scan(t, w, "k.m", "y", "", 9), []string{"d", "e"})
		equal(t, "lookups", lookup(t, w, "k.u", "a")+lookup(t, w, "k.u", "b")+lookup(t, w, "k.u", "d"), "a--")
		equal(t, "get", get(t, w, "k", "b")+get(t, w, "k", "d"), "-D")
		equal(t, "count", count(t, w, "k"), 4)
		if v, e := w.Meta("m"); e != nil || string(v) != "v" {
			t.Errorf("meta is %q, %v", v, e)
		}
		return err
	})
	update(t, s, func(w store.WriteTx) error { // writing while listing
		return w.List("k", "", 9, func(id string, _ []byte) bool {
			if err := w.Delete("k", id); err != nil {
				t.Error(err)
			}
			return true
		})
	})
	view(t, s, func(r store.Tx) error {
		equal(t, "nothing is left", count(t, r, "k")+len(list(t, r, "k", "", 9)), 0)
		return nil
	})
}

func testFailedUpdate(t *testing.T, s store.Store) {
	before := update(t, s, func(w store.WriteTx) error { return w.Put("k", "1", []byte("1"), []store.Index{unique("u", "1")}) })
	failure := errors.New("changed my mind")
	_, err := s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error {
		_ = errors.Join(w.Delete("k", "1"), w.Put("k", "2", []byte("2"), []store.Index{unique("u", "2"), multi("m", "")}), w.SetMeta("x", []byte("y")))
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	view(t, s, func(r store.Tx) error {
		equal(t, "position", r.Position(), before)
		equal(t, "entities", list(t, r, "k", "", 9), []string{"1=1"})
		equal(t, "indexes", lookup(t, r, "u", "1")+lookup(t, r, "u", "2"), "1-")
		equal(t, "multi", scan(t, r, "m", "", "", 9), []string(nil))
		if _, err := r.Meta("x"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("meta gave %v", err)
		}
		return nil
	})
	now, err := s.Position()
	equal(t, "head", now, before)
	equal(t, "error", err, nil)
	equal(t, "revisions", len(changeSets(t, s, 0)), 1)
}

func testPanic(t *testing.T, s store.Store) {
	func() {
		defer func() { equal(t, "panic", recover(), any("oops")) }()
		_, _ = s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error {
			_ = w.Put("k", "1", []byte("1"), nil)
			panic("oops")
		})
	}()
	p := update(t, s, func(w store.WriteTx) error { return w.Put("k", "2", []byte("2"), nil) })
	equal(t, "revision", p.Revision, uint64(1))
	view(t, s, func(r store.Tx) error {
		equal(t, "entities", list(t, r, "k", "", 9), []string{"2=2"})
		return nil
	})
}

func testContext(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Update(ctx, store.Info{}, func(store.WriteTx) error {
		t.Error("fn was run")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func testNoChange(t *testing.T, s store.Store) {
	index := []store.Index{multi("m", "x")}
	first := update(t, s, func(w store.WriteTx) error { return w.Put("k", "1", []byte("1"), index) })
	for name, fn := range map[string]func(w store.WriteTx) error{
		"nothing":    func(store.WriteTx) error { return nil },
		"same body":  func(w store.WriteTx) error { return w.Put("k", "1", []byte("1"), index) },
		"put delete": func(w store.WriteTx) error { return errors.Join(w.Put("k", "2", nil, nil), w.Delete("k", "2")) },
		"delete put": func(w store.WriteTx) error {
			return errors.Join(w.Delete("k", "1"), w.Put("k", "1", []byte("1"), index))
		},
		"other index": func(w store.WriteTx) error { return w.Put("k", "1", []byte("1"), []store.Index{multi("m", "y")}) },
		"meta":        func(w store.WriteTx) error { return w.SetMeta("a", []byte("b")) },
	} {
		equal(t, name, update(t, s, fn), first)
	}
	view(t, s, func(r store.Tx) error {
		equal(t, "index", append(scan(t, r, "m", "x", "", 9), scan(t, r, "m", "y", "", 9)...), []string{"1"})
		equal(t, "count", count(t, r, "k"), 1)
		return nil
	})
	equal(t, "change sets", len(changeSets(t, s, 0)), 1)
}

func testCollapse(t *testing.T, s store.Store) {
	update(t, s, func(w store.WriteTx) error { return w.Put("k", "1", []byte("1"), nil) })
	update(t, s, func(w store.WriteTx) error {
		return errors.Join(
			w.Put("k", "1", []byte("x"), nil), w.Put("k", "1", []byte("y"), nil),
			w.Put("k", "2", []byte("a"), nil), w.Delete("k", "2"),
			w.Put("k", "3", []byte("a"), nil), w.Delete("k", "3"), w.Put("k", "3", []byte("b"), nil),
		)
	})
	sets := changeSets(t, s, 1)
	if len(sets) != 1 {
		t.Fatalf("there are %d change sets", len(sets))
	}
	equal(t, "changes", sets[0].Changes, []store.Change{
		{Op: store.Put, Kind: "k", ID: "1", Body: []byte("y"), Before: []byte("1")}, {Op: store.Put, Kind: "k", ID: "3", Body: []byte("b")},
	})
}

func testLocal(t *testing.T, s store.Store) {
	before, _ := s.Position()
	p := update(t, s, func(w store.WriteTx) error {
		return w.PutLocal("l", "1", []byte("1"), []store.Index{unique("l.u", "x"), multi("l.m", "y")})
	})
	equal(t, "position", p, before)
	view(t, s, func(r store.Tx) error {
		equal(t, "get", get(t, r, "l", "1"), "1")
		equal(t, "list", list(t, r, "l", "", 9), []string{"1=1"})
		equal(t, "lookup", lookup(t, r, "l.u", "x"), "1")
		equal(t, "scan", scan(t, r, "l.m", "y", "", 9), []string{"1"})
		equal(t, "count", count(t, r, "l"), 1)
		return nil
	})
	_, err := s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error { return w.Put("l", "2", nil, nil) })
	if !errors.Is(err, store.ErrWrongKind) {
		t.Errorf("streaming a local kind gave %v", err)
	}
	update(t, s, func(w store.WriteTx) error { return w.Put("k", "1", []byte("1"), nil) })
	_, err = s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error { return w.PutLocal("k", "2", nil, nil) })
	if !errors.Is(err, store.ErrWrongKind) {
		t.Errorf("a streamed kind made local gave %v", err)
	}
	p = update(t, s, func(w store.WriteTx) error { return w.DeleteLocal("l", "1") })
	equal(t, "revision", p.Revision, uint64(1))
	view(t, s, func(r store.Tx) error {
		equal(t, "get", get(t, r, "l", "1")+lookup(t, r, "l.u", "x"), "--")
		checkRoot(t, r, "k")
		return nil
	})
	_, err = s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error { return w.DeleteLocal("l", "1") })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleting what is not there gave %v", err)
	}
}

func testChangeSets(t *testing.T, s store.Store) {
	start, _ := s.Position()
	one, err := s.Update(t.Context(), store.Info{Actor: "me", Summary: "first"}, func(w store.WriteTx) error {
		return errors.Join(w.Put("k", "1", []byte("1"), nil), w.Put("a", "9", []byte("9"), nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.Update(t.Context(), store.Info{RemovalIntended: true}, func(w store.WriteTx) error {
		return errors.Join(w.Delete("k", "1"), w.Put("k", "2", []byte{}, nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "revisions", []uint64{one.Revision, two.Revision}, []uint64{start.Revision + 1, start.Revision + 2})
	three := update(t, s, func(w store.WriteTx) error { return w.Put("k", "2", []byte("2"), nil) })
	want := []store.ChangeSet{
		{From: start, To: one, Actor: "me", Summary: "first", Reversible: true, Changes: []store.Change{
			{Op: store.Put, Kind: "a", ID: "9", Body: []byte("9")}, {Op: store.Put, Kind: "k", ID: "1", Body: []byte("1")},
		}},
		{From: one, To: two, RemovalIntended: true, Reversible: true, Changes: []store.Change{
			{Op: store.Delete, Kind: "k", ID: "1", Before: []byte("1")}, {Op: store.Put, Kind: "k", ID: "2", Body: []byte{}},
		}},
		{From: two, To: three, Reversible: true, Changes: []store.Change{{Op: store.Put, Kind: "k", ID: "2", Body: []byte("2"), Before: []byte{}}}},
	}
	for after, want := range [][]store.ChangeSet{want, want[1:], want[2:], nil, nil} {
		got := changeSets(t, s, uint64(after))
		for i := range got {
			got[i].At = want[i].At
			slices.SortFunc(got[i].Changes, func(a, b store.Change) int { return compare(a.Kind+a.ID, b.Kind+b.ID) })
			for j := range got[i].Changes {
				if got[i].Changes[j].Op == store.Put && got[i].Changes[j].Body == nil {
					got[i].Changes[j].Body = []byte{}
				}
			}
		}
		equal(t, "change sets", got, want)
	}
	n := 0
	view(t, s, func(r store.Tx) error {
		return r.ChangeSets(0, func(*store.ChangeSet) bool { n++; return false })
	})
	equal(t, "stopped after", n, 1)
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func testRoot(t *testing.T, s store.Store) {
	empty, _ := s.Position()
	one := update(t, s, func(w store.WriteTx) error { return w.Put("k", "1", []byte("1"), nil) })
	two := update(t, s, func(w store.WriteTx) error {
		return errors.Join(w.Put("k", "1", []byte("one"), nil), w.Put("l", "1", []byte("1"), nil))
	})
	view(t, s, func(r store.Tx) error { checkRoot(t, r, "k", "l"); return nil })
	back := update(t, s, func(w store.WriteTx) error {
		return errors.Join(w.Put("k", "1", []byte("1"), nil), w.Delete("l", "1"))
	})
	gone := update(t, s, func(w store.WriteTx) error { return w.Delete("k", "1") })
	if one.Root == two.Root || one.Root != back.Root || gone.Root != empty.Root {
		t.Errorf("roots are %s %s %s %s %s", empty.Root, one.Root, two.Root, back.Root, gone.Root)
	}
}

func testMeta(t *testing.T, s store.Store) {
	update(t, s, func(w store.WriteTx) error { return errors.Join(w.SetMeta("a", []byte("1")), w.SetMeta("b", []byte{})) })
	view(t, s, func(r store.Tx) error {
		a, errA := r.Meta("a")
		b, errB := r.Meta("b")
		_, errC := r.Meta("c")
		if string(a) != "1" || errA != nil || len(b) != 0 || errB != nil || !errors.Is(errC, store.ErrNotFound) {
			t.Errorf("got %q %v, %q %v, %v", a, errA, b, errB, errC)
		}
		return nil
	})
	update(t, s, func(w store.WriteTx) error { return w.SetMeta("a", nil) })
	view(t, s, func(r store.Tx) error {
		if _, err := r.Meta("a"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a removed value gave %v", err)
		}
		return nil
	})
}

func testBadNames(t *testing.T, s store.Store) {
	long := string(make([]byte, 40_000))
	for name, fn := range map[string]func(w store.WriteTx) error{
		"no kind":      func(w store.WriteTx) error { return w.Put("", "1", nil, nil) },
		"no id":        func(w store.WriteTx) error { return w.Put("k", "", nil, nil) },
		"long id":      func(w store.WriteTx) error { return w.Put("k", long, nil, nil) },
		"no index":     func(w store.WriteTx) error { return w.Put("k", "1", nil, []store.Index{unique("", "x")}) },
		"no key":       func(w store.WriteTx) error { return w.Put("k", "1", nil, []store.Index{unique("u", "")}) },
		"long key":     func(w store.WriteTx) error { return w.Put("k", "1", nil, []store.Index{multi("m", long)}) },
		"no meta":      func(w store.WriteTx) error { return w.SetMeta("", nil) },
		"delete none":  func(w store.WriteTx) error { return w.Delete("", "") },
		"delete local": func(w store.WriteTx) error { return w.DeleteLocal("", "x") },
	} {
		if _, err := s.Update(t.Context(), store.Info{}, fn); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func testCopies(t *testing.T, s store.Store) {
	content, value := []byte("body"), []byte("value")
	update(t, s, func(w store.WriteTx) error {
		err := errors.Join(w.Put("k", "1", content, nil), w.SetMeta("m", value))
		copy(content, "XXXX")
		copy(value, "XXXX")
		return err
	})
	view(t, s, func(r store.Tx) error {
		v, err := r.Meta("m")
		equal(t, "body", get(t, r, "k", "1"), "body")
		equal(t, "value", string(v), "value")
		return err
	})
}
