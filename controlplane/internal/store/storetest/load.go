package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// loadModel is what a store with two kinds should have.
type loadModel map[string]map[string]entity

func (m loadModel) clone() loadModel {
	out := loadModel{}
	for kind, entities := range m {
		out[kind] = maps.Clone(entities)
	}
	return out
}

// check compares everything that can be read with the model.
func (m loadModel) check(t *testing.T, s store.Store, kinds ...string) {
	t.Helper()
	view(t, s, func(r store.Tx) error {
		checkRoot(t, r, kinds...)
		for _, kind := range kinds {
			var want []string
			entries := map[string][]string{}
			for id, e := range m[kind] {
				want = append(want, id+"="+e.body)
				for _, index := range e.indexes {
					if index.Exclusive {
						if got := lookup(t, r, index.Name, index.Key); got != id {
							t.Errorf("%s has %s for %s, want %s", index.Name, got, index.Key, id)
						}
						continue
					}
					entries[index.Name+"\x00"+index.Key] = append(entries[index.Name+"\x00"+index.Key], id)
				}
			}
			slices.Sort(want)
			equal(t, "entities of "+kind, list(t, r, kind, "", 1<<20), want)
			equal(t, "number of "+kind, count(t, r, kind), len(want))
			for at, ids := range entries {
				name, key, _ := strings.Cut(at, "\x00")
				slices.Sort(ids)
				equal(t, at, scan(t, r, name, key, "", 1<<20), ids)
			}
		}
		return nil
	})
}

// loadAll makes kinds what a model says, but for those whose body begins with "stay".
func loadAll(t *testing.T, s store.Store, m loadModel, kinds []string, then func(store.BulkTx) error) (changed map[string][2]string, err error) {
	t.Helper()
	changed = map[string][2]string{}
	text := func(b []byte) string {
		if b == nil {
			return "-"
		}
		return string(b)
	}
	_, err = s.Load(t.Context(), store.Info{Summary: "load"}, func(w store.BulkTx) error {
		for kind, entities := range m {
			for id, e := range entities {
				if err := w.Add(kind, id, []byte(e.body), e.indexes); err != nil {
					return err
				}
			}
		}
		last := ""
		if err := w.Merge(kinds, func(_, _ string, body []byte) (bool, error) {
			return strings.HasPrefix(string(body), "stay"), nil
		}, func(kind, id string, before, after []byte) error {
			if at := kind + "\x00" + id; at <= last {
				t.Errorf("%q comes after %q", at, last)
			} else {
				last = at
			}
			changed[kind+" "+id] = [2]string{text(before), text(after)}
			return nil
		}); err != nil {
			return err
		}
		if then != nil {
			return then(w)
		}
		return nil
	})
	return changed, err
}

// testLoad compares the store with a model through random loads and updates.
func testLoad(t *testing.T, s store.Store) {
	rnd := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a test wants the same numbers each time
	kinds := []string{"a", "b"}
	ids := []string{"", "/", ":", "A", "g", "~", "é", "0", "00", "9", "9:", "a", "f", "ff", "fg"}
	newID := func() string {
		if rnd.IntN(3) == 0 {
			return ids[rnd.IntN(len(ids))] + "x"
		}
		return fmt.Sprintf("%08x-%04x", rnd.Uint32(), rnd.IntN(4))
	}
	model := loadModel{"a": {}, "b": {}}
	for step := range 40 {
		next := loadModel{"a": {}, "b": {}}
		for _, kind := range kinds {
			n := 0
			for id, e := range model[kind] {
				switch rnd.IntN(4) {
				case 0: // goes, or stays
					if strings.HasPrefix(e.body, "stay") {
						next[kind][id] = e
					}
					continue
				case 1:
					e.body = fmt.Sprint("changed ", rnd.IntN(1000))
				case 2:
					e.indexes = slices.Clone(e.indexes)[:rnd.IntN(len(e.indexes)+1)]
				}
				next[kind][id] = e
			}
			for range rnd.IntN(120) {
				n++
				e := entity{fmt.Sprint("body ", rnd.IntN(1000), strings.Repeat("x", rnd.IntN(300))), []store.Index{
					unique(kind+".u", fmt.Sprint(step, "/", n)), multi(kind+".m", fmt.Sprint("m", rnd.IntN(5))), multi(kind+".n", ""),
				}}
				if rnd.IntN(5) == 0 {
					e.body = "stay " + e.body
				}
				next[kind][newID()] = e
			}
			if rnd.IntN(8) == 0 {
				next[kind] = map[string]entity{}
				for id, e := range model[kind] {
					if strings.HasPrefix(e.body, "stay") {
						next[kind][id] = e
					}
				}
			}
		}
		added := next.clone()
		for _, kind := range kinds {
			for id, e := range model[kind] {
				if strings.HasPrefix(e.body, "stay") && added[kind][id].body == e.body && len(added[kind][id].indexes) == len(e.indexes) && rnd.IntN(2) == 0 {
					delete(added[kind], id) // it is kept
				}
			}
		}
		before, _ := s.Position()
		got, err := loadAll(t, s, added, kinds, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][2]string{}
		for _, kind := range kinds {
			for id, e := range next[kind] {
				if old, there := model[kind][id]; !there {
					want[kind+" "+id] = [2]string{"-", e.body}
				} else if old.body != e.body {
					want[kind+" "+id] = [2]string{old.body, e.body}
				}
			}
			for id, e := range model[kind] {
				if _, there := next[kind][id]; !there {
					want[kind+" "+id] = [2]string{e.body, "-"}
				}
			}
		}
		equal(t, "changes", got, want)
		logged := map[string]string{}
		for _, set := range changeSets(t, s, before.Revision) {
			for _, c := range set.Changes {
				logged[c.Kind+" "+c.ID] = string(c.Body)
				if c.Op == store.Delete {
					logged[c.Kind+" "+c.ID] = "-"
				}
			}
		}
		for at, c := range want {
			if logged[at] != c[1] {
				t.Errorf("the log has %q for %s, want %q", logged[at], at, c[1])
			}
		}
		after, _ := s.Position()
		if len(logged) != len(want) || (after.Revision != before.Revision) != (len(want) > 0) {
			t.Errorf("the log has %d changes from revision %d to %d, want %d", len(logged), before.Revision, after.Revision, len(want))
		}
		model = next
		model.check(t, s, kinds...)
		update(t, s, func(w store.WriteTx) error { // other writes go on from there
			e := entity{fmt.Sprint("update ", step), []store.Index{unique("a.u", fmt.Sprint("update", step))}}
			model["a"]["update"] = e
			return w.Put("a", "update", []byte(e.body), e.indexes)
		})
		model.check(t, s, kinds...)
	}
}

// testLoadExchange: what has a unique value may give it to another.
func testLoadExchange(t *testing.T, s store.Store) {
	one := loadModel{"a": {"1": {"x", []store.Index{unique("a.u", "x")}}, "2": {"y", []store.Index{unique("a.u", "y")}}, "3": {"z", nil}}}
	two := loadModel{"a": {"1": {"y", []store.Index{unique("a.u", "y")}}, "2": {"x", []store.Index{unique("a.u", "x")}}}}
	for range 2 {
		for _, m := range []loadModel{one, two} {
			if _, err := loadAll(t, s, m, []string{"a"}, nil); err != nil {
				t.Fatal(err)
			}
			m.check(t, s, "a")
		}
	}
}

// testLoadRefused: a load that fails leaves no trace.
func testLoadRefused(t *testing.T, s store.Store) {
	update(t, s, func(w store.WriteTx) error {
		if err := w.PutLocal("local", "1", []byte("l"), nil); err != nil {
			return err
		}
		return w.Put("a", "1", []byte("stay"), []store.Index{unique("a.u", "x")})
	})
	failure := errors.New("no")
	model := loadModel{"a": {"1": {"stay", []store.Index{unique("a.u", "x")}}}}
	before, _ := s.Position()
	two := loadModel{"a": {"2": {"two", nil}, "3": {"three", nil}}}
	for _, tt := range []struct {
		name string
		want error
		load func() error
	}{
		{"the function", failure, func() error {
			_, err := loadAll(t, s, two, []string{"a"}, func(store.BulkTx) error { return failure })
			return err
		}},
		{"unique value of what stays", store.ErrConflict, func() error {
			_, err := loadAll(t, s, loadModel{"a": {"2": {"two", []store.Index{unique("a.u", "x")}}}}, []string{"a"}, nil)
			return err
		}},
		{"unique value twice", store.ErrConflict, func() error {
			_, err := loadAll(t, s, loadModel{"a": {"2": {"two", []store.Index{unique("a.u", "y")}}, "3": {"three", []store.Index{unique("a.u", "y")}}}}, []string{"a"}, nil)
			return err
		}},
		{"id twice", store.ErrConflict, func() error {
			_, err := s.Load(t.Context(), store.Info{}, func(w store.BulkTx) error {
				_ = w.Add("a", "2", []byte("two"), nil)
				_ = w.Add("a", "2", []byte("three"), nil)
				return w.Merge([]string{"a"}, func(_, _ string, _ []byte) (bool, error) { return true, nil }, func(_, _ string, _, _ []byte) error { return nil })
			})
			return err
		}},
		{"a local kind", store.ErrWrongKind, func() error {
			_, err := loadAll(t, s, loadModel{"local": {"2": {"two", nil}}}, []string{"local"}, nil)
			return err
		}},
		{"context", context.Canceled, func() error {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := s.Load(ctx, store.Info{}, func(w store.BulkTx) error {
				cancel()
				for i := range 3000 {
					if err := w.Add("a", fmt.Sprint(i), []byte("x"), nil); err != nil {
						return err
					}
				}
				return w.Merge([]string{"a"}, func(_, _ string, _ []byte) (bool, error) { return false, nil }, func(_, _ string, _, _ []byte) error { return nil })
			})
			return err
		}},
	} {
		if err := tt.load(); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		if after, _ := s.Position(); after != before {
			t.Errorf("%s: the position is %v, was %v", tt.name, after, before)
		}
		model.check(t, s, "a")
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a panic is swallowed")
			}
		}()
		_, _ = s.Load(t.Context(), store.Info{}, func(store.BulkTx) error { panic("no") })
	}()
	if _, err := loadAll(t, s, two, []string{"a"}, func(w store.BulkTx) error {
		return w.PutLocal("local", "2", []byte("beside"), nil)
	}); err != nil {
		t.Fatal(err)
	}
	maps.Copy(model["a"], two["a"])
	model.check(t, s, "a")
	view(t, s, func(r store.Tx) error {
		equal(t, "written beside", get(t, r, "local", "2"), "beside")
		return nil
	})
	if _, err := s.Load(t.Context(), store.Info{}, func(w store.BulkTx) error {
		if err := w.Add("a", "4", []byte("four"), nil); err != nil {
			return err
		}
		if err := w.Merge([]string{"b"}, nil, nil); err == nil {
			t.Error("a kind that was added need not be merged")
		}
		return failure
	}); !errors.Is(err, failure) {
		t.Error(err)
	}
}
