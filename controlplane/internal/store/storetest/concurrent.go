package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

const patience = 10 * time.Second

func receive(t *testing.T, ch <-chan store.Position) store.Position {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case p := <-ch:
		return p
	case <-timer.C:
		t.Fatal("nothing was notified")
	}
	return store.Position{}
}

func testNotify(t *testing.T, s store.Store) {
	slow, cancelSlow := s.Notify()
	other, cancel := s.Notify()
	defer cancel()
	put := func(v string) store.Position {
		return update(t, s, func(w store.WriteTx) error { return w.Put("k", "1", []byte(v), nil) })
	}
	first := put("1")
	equal(t, "first", receive(t, other), first)
	put("2")
	last := put("3")
	update(t, s, func(w store.WriteTx) error { return w.SetMeta("no", []byte("revision")) })
	equal(t, "latest wins", receive(t, slow), last)
	equal(t, "latest wins", receive(t, other), last)
	select {
	case p := <-slow:
		t.Errorf("%+v came too", p)
	default:
	}
	cancelSlow()
	cancelSlow()
	fourth := put("4")
	equal(t, "after cancel of the other", receive(t, other), fourth)
	select {
	case p := <-slow:
		t.Errorf("%+v came after cancel", p)
	default:
	}
}

// testIsolation: a reader sees one state from its begin to its end.
func testIsolation(t *testing.T, s store.Store) {
	first := update(t, s, func(w store.WriteTx) error { return w.Put("k", "1", []byte("1"), nil) })
	inside, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		<-inside
		if _, err := s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error {
			return errors.Join(w.Put("k", "1", []byte("2"), nil), w.Put("k", "2", []byte("2"), nil))
		}); err != nil {
			t.Error(err)
		}
	}()
	view(t, s, func(r store.Tx) error {
		close(inside)
		<-written
		equal(t, "position", r.Position(), first)
		equal(t, "entities", list(t, r, "k", "", 9), []string{"1=1"})
		equal(t, "count", count(t, r, "k"), 1)
		return nil
	})
	view(t, s, func(r store.Tx) error {
		equal(t, "entities", list(t, r, "k", "", 9), []string{"1=2", "2=2"})
		return nil
	})
}

// testConcurrent: writers and readers at once. Each update has its own revision, and
// updates that fail leave nothing, whoever they are committed with.
func testConcurrent(t *testing.T, s store.Store) {
	const writers, each = 8, 12
	var mu sync.Mutex
	var revisions []uint64
	var wait sync.WaitGroup
	failure := errors.New("no")
	for i := range writers {
		wait.Go(func() {
			for j := range each {
				id := fmt.Sprintf("%d-%d", i, j)
				fails := j%4 == 3
				p, err := s.Update(t.Context(), store.Info{Summary: id}, func(w store.WriteTx) error {
					if err := w.Put("k", id, []byte(id), []store.Index{unique("k.u", id), multi("k.m", "x")}); err != nil {
						return err
					}
					if fails {
						return failure
					}
					return nil
				})
				switch {
				case fails != errors.Is(err, failure), !fails && err != nil:
					t.Errorf("%s: %v", id, err)
				case !fails:
					mu.Lock()
					revisions = append(revisions, p.Revision)
					mu.Unlock()
				}
			}
		})
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			view(t, s, func(r store.Tx) error {
				checkRoot(t, r, "k")
				if got, want := count(t, r, "k"), int(r.Position().Revision); got != want {
					t.Errorf("revision %d has %d entities", want, got)
				}
				return nil
			})
		}
	})
	wait.Wait()
	close(stop)
	readers.Wait()
	slices.Sort(revisions)
	for i, r := range revisions {
		if r != uint64(i+1) {
			t.Fatalf("revisions are %v", revisions)
		}
	}
	for _, set := range changeSets(t, s, 0) {
		if len(set.Changes) != 1 || set.Changes[0].ID != set.Summary || set.From.Revision+1 != set.To.Revision {
			t.Errorf("change set %+v", set)
		}
	}
	view(t, s, func(r store.Tx) error {
		equal(t, "entries", len(scan(t, r, "k.m", "x", "", 1000)), writers*each*3/4)
		equal(t, "failed", lookup(t, r, "k.u", "0-3"), "-")
		return nil
	})
}

// entity is what the model of testRandom knows of one.
type entity struct {
	body    string
	indexes []store.Index
}

// testRandom compares the store with a model through random transactions.
func testRandom(t *testing.T, s store.Store) {
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test wants the same numbers each time
	type key struct{ kind, id string }
	kinds := []string{"a", "b", "c"}
	model := map[key]entity{}
	name := func(n int) string { return string(rune('a' + rnd.IntN(n))) }
	for range 300 {
		next := map[key]entity{}
		maps.Copy(next, model)
		fails := rnd.IntN(4) == 0
		failure := errors.New("no")
		before, _ := s.Position()
		after, err := s.Update(t.Context(), store.Info{}, func(w store.WriteTx) error {
			for range 1 + rnd.IntN(6) {
				k := key{kinds[rnd.IntN(3)], name(8)}
				if rnd.IntN(3) == 0 {
					_, there := next[k]
					if err := w.Delete(k.kind, k.id); there != (err == nil) {
						t.Fatalf("delete of %v gave %v", k, err)
					}
					delete(next, k)
					continue
				}
				e := entity{name(4), []store.Index{unique(k.kind+".u", name(10)), multi(k.kind+".m", name(3))}}
				conflict := false
				for other, o := range next {
					conflict = conflict || other != k && o.indexes[0] == e.indexes[0]
				}
				if err := w.Put(k.kind, k.id, []byte(e.body), e.indexes); conflict != errors.Is(err, store.ErrConflict) || !conflict && err != nil {
					t.Fatalf("put of %v gave %v", k, err)
				}
				if !conflict {
					next[k] = e
				}
			}
			if fails {
				return failure
			}
			return nil
		})
		if fails != errors.Is(err, failure) {
			t.Fatal(err)
		}
		wanted := map[key]string{} // change set: body, or "-" for deleted
		if !fails {
			for k, v := range next {
				if old, there := model[k]; !there || old.body != v.body {
					wanted[k] = v.body
				}
			}
			for k := range model {
				if _, there := next[k]; !there {
					wanted[k] = "-"
				}
			}
			model = next
		} else {
			after = before
		}
		got := map[key]string{}
		for _, set := range changeSets(t, s, before.Revision) {
			for _, c := range set.Changes {
				got[key{c.Kind, c.ID}] = string(c.Body)
				if c.Op == store.Delete {
					got[key{c.Kind, c.ID}] = "-"
				}
			}
		}
		if len(got) != len(wanted) || (after.Revision == before.Revision) != (len(wanted) == 0) {
			t.Fatalf("changes are %v, want %v", got, wanted)
		}
		for k, v := range wanted {
			if got[k] != v {
				t.Fatalf("changes are %v, want %v", got, wanted)
			}
		}
	}
	view(t, s, func(r store.Tx) error {
		checkRoot(t, r, kinds...)
		for _, kind := range kinds {
			var want []string
			entries := map[string][]string{}
			for k, v := range model {
				if k.kind == kind {
					want = append(want, k.id+"="+v.body)
					entries[v.indexes[1].Key] = append(entries[v.indexes[1].Key], k.id)
					equal(t, "unique", lookup(t, r, kind+".u", v.indexes[0].Key), k.id)
				}
			}
			slices.Sort(want)
			equal(t, "entities of "+kind, list(t, r, kind, "", 100), want)
			equal(t, "number of "+kind, count(t, r, kind), len(want))
			for _, m := range []string{"a", "b", "c"} {
				slices.Sort(entries[m])
				equal(t, "multi", scan(t, r, kind+".m", m, "", 100), entries[m])
			}
		}
		return nil
	})
}

func testClose(t *testing.T, s store.Store) {
	update(t, s, func(w store.WriteTx) error { return w.Put("k", "1", []byte("1"), nil) })
	inside, left := make(chan struct{}), make(chan struct{})
	closed := make(chan error, 1)
	go func() {
		<-inside
		closed <- s.Close()
	}()
	view(t, s, func(r store.Tx) error {
		close(inside)
		equal(t, "while closing", get(t, r, "k", "1"), "1")
		close(left)
		return nil
	})
	<-left
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := s.View(func(store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("view of a closed store gave %v", err)
	}
	if _, err := s.Update(t.Context(), store.Info{}, func(store.WriteTx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("update of a closed store gave %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice gave %v", err)
	}
}
