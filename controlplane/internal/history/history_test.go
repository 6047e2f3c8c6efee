package history_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/history"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
)

type fixture struct {
	*testing.T
	store *bolt.Store
	*history.History
}

func newFixture(t *testing.T, o bolt.Options) *fixture {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), "s.db")
	st, err := bolt.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	kinds := entity.NewKinds(entity.Options{Plugins: plugins.Bundled().Schema, Extra: plugins.Bundled().Entities()})
	h, err := history.New(history.Options{Store: st, Kinds: kinds, Mask: func(kind string, o schema.Object) (schema.Object, []string) { return audit.Mask(kinds, kind, o) }})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{t, st, h}
}

// put writes a service and returns the revision.
func (f *fixture) put(id, host string) uint64 {
	f.Helper()
	p, err := f.store.Update(f.Context(), store.Info{Actor: "me", Summary: host}, func(tx store.WriteTx) error {
		return tx.Put("services", id, fmt.Appendf(nil, `{"host":%q,"id":%q,"name":"n"}`, host, id), nil)
	})
	if err != nil {
		f.Fatal(err)
	}
	return p.Revision
}

func (f *fixture) gone(err error, oldest uint64) {
	f.Helper()
	if gone, ok := errors.AsType[*history.GoneError](err); !ok || gone.Oldest != oldest {
		f.Errorf("got %v, want that the oldest is %d", err, oldest)
	}
}

// TestCutLog: what the log does not reach is gone, and the oldest that it reaches is named.
func TestCutLog(t *testing.T) {
	f := newFixture(t, bolt.Options{LogRevisions: 10})
	var n uint64
	for i := range 200 {
		n = f.put("s", fmt.Sprint("host", i))
	}
	oldest, err := f.Oldest()
	if err != nil || oldest > n-10 || oldest < n-80 {
		t.Fatalf("the oldest of %d is %d: %v", n, oldest, err)
	}
	_, _, err = f.Preview(oldest-1, nil)
	f.gone(err, oldest)
	list, head, err := f.Preview(oldest, nil)
	if err != nil || len(list) != 1 || head.Revision != n || list[0].Fields[0].After != fmt.Sprint("host", oldest-1) {
		t.Errorf("preview of the oldest: %+v %v", list, err)
	}
	_, _, err = f.Changes(oldest, nil)
	f.gone(err, oldest+1)
	if changes, r, err := f.Changes(oldest+1, nil); err != nil || len(changes) != 1 || r.Actor != "me" || r.Updated != 1 {
		t.Errorf("the oldest change: %+v %+v %v", changes, r, err)
	}
	seen, before := 0, uint64(0)
	for {
		list, more, err := f.List(before, 7, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if want := n - uint64(seen); r.Position.Revision != want {
				t.Fatalf("revision %d in the place of %d", r.Position.Revision, want)
			}
			seen++
		}
		before = n - uint64(seen) + 1
		if !more {
			break
		}
	}
	if uint64(seen) != n-oldest {
		t.Errorf("%d revisions are listed, want %d", seen, n-oldest)
	}
}

// TestTooLargeToUndo: a change set that was too large to keep what was before, or anything
// of it, can't be gone behind, and is listed.
func TestTooLargeToUndo(t *testing.T) {
	f := newFixture(t, bolt.Options{LogBytes: 20_000})
	f.put("s", "small")
	f.put("s", strings.Repeat("x", 3000))
	oneWay := f.put("s", strings.Repeat("y", 3000)) // with what was before it is too large
	after := f.put("t", "small")
	oldest, err := f.Oldest()
	if err != nil || oldest != oneWay {
		t.Errorf("the oldest is %d, want %d: %v", oldest, oneWay, err)
	}
	_, _, err = f.Preview(oneWay-1, nil)
	f.gone(err, oneWay)
	if list, _, err := f.Preview(oneWay, nil); err != nil || len(list) != 1 || list[0].Operation != history.Deleted {
		t.Errorf("preview behind it: %+v %v", list, err)
	}
	if changes, r, err := f.Changes(oneWay, nil); err != nil || r.Reversible || len(changes) != 1 || changes[0].Operation != "" {
		t.Errorf("what it changed: %+v %v", changes, err)
	}
	omitted := f.put("s", strings.Repeat("z", 6000))
	last := f.put("t", "other")
	if oldest, err := f.Oldest(); err != nil || oldest != omitted {
		t.Errorf("the oldest is %d, want %d: %v", oldest, omitted, err)
	}
	list, more, err := f.List(0, 100, nil)
	if err != nil || more || len(list) != int(last) || !list[1].Omitted || list[0].Omitted || list[2].Position.Revision != after {
		t.Errorf("the list: %+v %v %v", list, more, err)
	}
	_, _, err = f.Preview(after, nil)
	f.gone(err, omitted)
}

// TestFields: what is shown of a change.
func TestFields(t *testing.T) {
	f := newFixture(t, bolt.Options{})
	write := func(kind, id, body string) uint64 {
		t.Helper()
		p, err := f.store.Update(t.Context(), store.Info{}, func(tx store.WriteTx) error { return tx.Put(kind, id, []byte(body), nil) })
		if err != nil {
			t.Fatal(err)
		}
		return p.Revision
	}
	write("plugins", "p", `{"config":{"minute":5,"redis":{"host":"a","password":"old"}},"id":"p","name":"rate-limiting","updated_at":1}`)
	n := write("plugins", "p", `{"config":{"hour":9,"minute":5,"redis":{"host":"b","password":"new"}},"id":"p","name":"rate-limiting","updated_at":2}`)
	list, _, err := f.Changes(n, nil)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	got := ""
	for _, c := range list[0].Fields {
		got += fmt.Sprintf("%s=%v>%v,%v ", c.Path, c.Before, c.After, c.Secret)
	}
	if want := "config.hour=<nil>>9,false config.redis.host=a>b,false config.redis.password=******>******,true "; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// What can't be read is there without fields.
	n = write("services", "broken", `{`)
	if list, _, err := f.Changes(n, nil); err != nil || len(list) != 1 || list[0].Operation != history.Created || list[0].Fields != nil {
		t.Errorf("what can't be read: %+v %v", list, err)
	}
}
