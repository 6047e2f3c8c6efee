package intake_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/intake"
	"github.com/sluice-gateway/sluice/controlplane/internal/lease"
	"github.com/sluice-gateway/sluice/controlplane/internal/snapshot"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// encoder makes messages that nobody reads.
type encoder struct{}

func (encoder) Frame(*snapshot.Frame, snapshot.Form) ([]byte, error) { return []byte("frame"), nil }

func (encoder) List([]store.Change, snapshot.Form) (snapshot.Part, error) {
	return snapshot.Part{}, nil
}

func (encoder) Chunk(*snapshot.Chunk, snapshot.Form) ([]byte, error) { return []byte("chunk"), nil }

func (encoder) Manifest(*snapshot.Manifest) ([]byte, error) { return []byte("manifest"), nil }

func newDesk(t *testing.T, leases *lease.Book) (*intake.Desk, *catalog.Catalog, *entity.Kinds, *hub.Hub) {
	t.Helper()
	st, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	registry := plugins.Bundled()
	kinds := entity.NewKinds(entity.Options{Plugins: registry.Schema, Extra: registry.Entities()})
	c, err := catalog.New(t.Context(), catalog.Options{Store: st, Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	source, err := snapshot.New(snapshot.Options{Store: st, Encoder: encoder{}, Kinds: c.Streamed()})
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Store: st, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	d, err := intake.New(intake.Options{Catalog: c, Hub: h, Plugins: registry, Leases: leases})
	if err != nil {
		t.Fatal(err)
	}
	return d, c, kinds, h
}

const keyID = "11111111-1111-4111-8111-111111111111"

func TestWrite(t *testing.T) {
	d, c, kinds, _ := newDesk(t, lease.New(lease.Options{}))
	consumer, err := c.Insert(t.Context(), kinds.ByKind("consumers"), schema.Object{"username": "bob"})
	if err != nil {
		t.Fatal(err)
	}
	bob, _ := consumer.Entity["id"].(string)
	kind := "keyauth_credentials"
	insert := func(id, key string) pdk.EntityWrite {
		return pdk.EntityWrite{Op: pdk.WriteInsert, Kind: kind, ID: id, Body: []byte(`{"key":"` + key + `","consumer":{"id":"` + bob + `"}}`)}
	}
	for _, test := range []struct {
		name   string
		plugin string
		writes []pdk.EntityWrite
		err    error // matched by errors.Is
		says   string
	}{
		{name: "nothing", plugin: "key-auth", err: intake.ErrInvalid, says: "0 writes"},
		{name: "too many", plugin: "key-auth", writes: make([]pdk.EntityWrite, intake.MaxWrites+1), err: intake.ErrInvalid, says: "17 writes"},
		{name: "no such plugin", plugin: "nope", writes: []pdk.EntityWrite{insert("", "k")}, err: intake.ErrForbidden, says: `"nope"`},
		{name: "not its kind", plugin: "acl", writes: []pdk.EntityWrite{insert("", "k")}, err: intake.ErrForbidden, says: "keyauth_credentials"},
		{name: "core kind", plugin: "key-auth", writes: []pdk.EntityWrite{{Op: pdk.WriteDelete, Kind: "consumers", ID: bob}}, err: intake.ErrForbidden},
		{name: "no operation", plugin: "key-auth", writes: []pdk.EntityWrite{{Kind: kind, ID: keyID}}, err: intake.ErrInvalid},
		{name: "no id", plugin: "key-auth", writes: []pdk.EntityWrite{{Op: pdk.WriteUpdate, Kind: kind, Body: []byte(`{}`)}}, err: intake.ErrInvalid},
		{name: "no JSON", plugin: "key-auth", writes: []pdk.EntityWrite{{Op: pdk.WriteInsert, Kind: kind, Body: []byte(`{`)}}, err: intake.ErrInvalid},
		{name: "too long", plugin: "key-auth", writes: []pdk.EntityWrite{{Op: pdk.WriteInsert, Kind: kind, Body: make([]byte, intake.MaxBody+1)}}, err: intake.ErrInvalid},
		{name: "insert", plugin: "key-auth", writes: []pdk.EntityWrite{insert(keyID, "k")}},
		{name: "taken", plugin: "key-auth", writes: []pdk.EntityWrite{insert("", "k")}, says: "UNIQUE violation"},
		{name: "same id", plugin: "key-auth", writes: []pdk.EntityWrite{insert(keyID, "other")}, says: "primary key violation"},
		{name: "update", plugin: "key-auth", writes: []pdk.EntityWrite{{Op: pdk.WriteUpdate, Kind: kind, ID: keyID, Body: []byte(`{"key":"k2"}`)}}},
		{name: "not valid", plugin: "key-auth", writes: []pdk.EntityWrite{{Op: pdk.WriteUpdate, Kind: kind, ID: keyID, Body: []byte(`{"key":7}`)}}, says: "expected a string"},
		{
			name: "all or none", plugin: "key-auth",
			writes: []pdk.EntityWrite{insert("", "k3"), {Op: pdk.WriteDelete, Kind: kind, ID: "22222222-2222-4222-8222-222222222222"}}, err: catalog.ErrNotFound,
		},
		{name: "what was undone", plugin: "key-auth", writes: []pdk.EntityWrite{insert("", "k3"), {Op: pdk.WriteDelete, Kind: kind, ID: keyID}}},
		{name: "delete twice", plugin: "key-auth", writes: []pdk.EntityWrite{{Op: pdk.WriteDelete, Kind: kind, ID: keyID}}, err: catalog.ErrNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := d.Write(t.Context(), test.plugin, test.writes, time.Second)
			switch {
			case test.err == nil && test.says == "":
				if err != nil {
					t.Error(err)
				}
			case err == nil:
				t.Error("not refused")
			case test.err != nil && !errors.Is(err, test.err), !strings.Contains(err.Error(), test.says):
				t.Errorf("got %v, want %v %q", err, test.err, test.says)
			}
		})
	}
}

func TestWriteWaitsForNodes(t *testing.T) {
	d, c, kinds, h := newDesk(t, lease.New(lease.Options{}))
	s, err := h.Connect(hub.Hello{NodeID: keyID, BootID: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(nil)
	consumer, err := c.Insert(t.Context(), kinds.ByKind("consumers"), schema.Object{"username": "bob"})
	if err != nil {
		t.Fatal(err)
	}
	id, _ := consumer.Entity["id"].(string)
	write := func(key string, wait time.Duration) error {
		_, err := d.Write(t.Context(), "key-auth", []pdk.EntityWrite{{
			Op: pdk.WriteInsert, Kind: "keyauth_credentials", Body: []byte(`{"key":"` + key + `","consumer":{"id":"` + id + `"}}`),
		}}, wait)
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	done := make(chan error, 1)
	go func() { done <- write("k", 5*time.Second) }()
	for range 2 { // the consumer, or both, and then the key
		delivery, err := s.Next(t.Context(), nil)
		if err != nil || delivery.Step == nil && delivery.Snapshot == nil {
			t.Fatalf("delivery %+v, %v", delivery, err)
		}
		var to store.Position
		if delivery.Step != nil {
			to = delivery.Step.To
		} else {
			to = delivery.Snapshot.To
		}
		s.Applied(to, 0, nil)
		if head := s.Head(); to == head {
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
				cancel()
				if err := <-ran; err != nil {
					t.Error(err)
				}
				return
			case <-time.NewTimer(100 * time.Millisecond).C:
			}
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	// A node that does not apply delays no write for long, and fails none.
	if err := write("k2", time.Millisecond); err != nil {
		t.Error(err)
	}
	if err := write("k3", time.Hour); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestLease(t *testing.T) {
	d, _, _, _ := newDesk(t, lease.New(lease.Options{Max: 1}))
	r := pdk.LeaseRequest{Counter: "c", Start: 60, End: 120, Limit: 10, Waiting: 3}
	for _, test := range []struct {
		name, plugin string
		requests     []pdk.LeaseRequest
		err          error
	}{
		{"none", "rate-limiting", nil, intake.ErrInvalid},
		{"too many", "rate-limiting", make([]pdk.LeaseRequest, intake.MaxLeases+1), intake.ErrInvalid},
		{"no window", "rate-limiting", []pdk.LeaseRequest{{Counter: "c", Limit: 1}}, intake.ErrInvalid},
		{"no such plugin", "nope", []pdk.LeaseRequest{r}, intake.ErrForbidden},
		{"one", "rate-limiting", []pdk.LeaseRequest{r}, nil},
		{"another plugin's", "key-auth", []pdk.LeaseRequest{r}, intake.ErrFull},
	} {
		t.Run(test.name, func(t *testing.T) {
			grants, err := d.Lease("node", test.plugin, test.requests)
			if !errors.Is(err, test.err) {
				t.Fatalf("got %v, want %v", err, test.err)
			}
			if err == nil && (len(grants) != 1 || grants[0].Granted != 3 || grants[0].Nodes != 1) {
				t.Errorf("grants %+v", grants)
			}
		})
	}
}
