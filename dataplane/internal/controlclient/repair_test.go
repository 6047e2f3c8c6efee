package controlclient_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/controlclient"
	"github.com/sluice-gateway/sluice/dataplane/internal/crashloop"
	"github.com/sluice-gateway/sluice/dataplane/internal/diskcache"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// inventory returns the node's next inventory.
func (s *stream) inventory() *configv1.Inventory {
	s.t.Helper()
	for {
		m, err := s.Recv()
		if err != nil {
			s.t.Fatalf("no inventory: %v", err)
		}
		if in := m.GetInventory(); in != nil {
			return in
		}
	}
}

func (s *stream) query(buckets ...uint32) *configv1.Inventory {
	s.t.Helper()
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_InventoryQuery{InventoryQuery: &configv1.InventoryQuery{Buckets: buckets}}})
	out := &configv1.Inventory{}
	for {
		in := s.inventory()
		proto.Merge(out, in)
		if in.GetLast() {
			return out
		}
	}
}

func many(n int) entities {
	e := make(entities, n)
	for i := range n {
		e[fmt.Sprintf("%06d", i)] = fmt.Sprintf(`{"name":"%d","pad":"%s"}`, i, strings.Repeat("x", 200))
	}
	return e
}

// differ returns the buckets whose hashes are not those of e.
func differ(in *configv1.Inventory, e entities) (out []uint32) {
	tree := roothash.New()
	for id, b := range e {
		tree.Put("services", id, []byte(b))
	}
	for i, h := range tree.BucketHashes() {
		if binary.LittleEndian.Uint64(in.GetBucketHashes()[8*i:]) != uint64(h) {
			out = append(out, uint32(i))
		}
	}
	return out
}

// TestFlippedEntityIsFound holds the goal for a fault in a node's memory: found within ten
// seconds among a hundred thousand entities, and repaired with 64 KiB.
func TestFlippedEntityIsFound(t *testing.T) {
	const id = "000777"
	e := many(100_000)
	if testing.Short() {
		e = many(10_000)
	}
	c, a := newControl(t), &applier{}
	cl := c.start(a, nil)
	s := c.next(30 * time.Second)
	s.snapshot(1, e, false)
	s.ack(configv1.Ack_STATE_APPLIED)
	cl.Flip("services", id)
	began := time.Now()
	ack := s.ack(configv1.Ack_STATE_DIVERGED)
	if ack.GetPosition().GetRevision() != 1 || bytes.Equal(ack.GetPosition().GetRoot(), e.root()) || !proto.Equal(ack.GetPosition(), ack.GetServing()) {
		t.Errorf("ack %v", ack)
	}
	in := s.query()
	wrong := differ(in, e)
	if len(wrong) != 1 || wrong[0] != uint32(roothash.BucketOf("services", id)) {
		t.Fatalf("buckets %v differ", wrong)
	}
	list := s.query(wrong...)
	used := proto.Size(ack) + proto.Size(in) + proto.Size(list)
	// What the node has and must not have.
	good := map[uint64]bool{}
	for other, b := range e {
		h := roothash.Entity("services", other, []byte(b))
		good[h.Short()] = true
	}
	var dropped []byte
	for h := range slices.Chunk(list.GetEntities()[0].GetHashes(), 8) {
		if !good[binary.LittleEndian.Uint64(h)] {
			dropped = append(dropped, h...)
		}
	}
	if len(dropped) != 8 {
		t.Fatalf("%d bytes dropped", len(dropped))
	}
	frame := &configv1.Frame{
		From: in.GetPosition(), To: at(1, e), Dropped: dropped,
		Changes: []*configv1.Change{{Op: configv1.Change_OP_PUT, Kind: "services", Id: id, Body: []byte(e[id])}},
	}
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Frame{Frame: frame}})
	s.ack(configv1.Ack_STATE_APPLIED)
	took := time.Since(began)
	used += proto.Size(frame)
	t.Logf("found and repaired after %v with %d bytes", took.Round(time.Millisecond), used)
	if took > time.Minute { // of a machine that has other things to do
		t.Errorf("after %v", took)
	}
	if used > 64<<10 {
		t.Errorf("with %d bytes", used)
	}
	f := cl.Facts()
	if f.Position.Root != roothash.Root(e.root()) || f.Integrity.Found != 1 || f.Integrity.Repaired != 1 || f.Integrity.Last.ID != id {
		t.Errorf("facts %+v", f.Integrity)
	}
	if cl.Body("services", id) != e[id] {
		t.Error("its bytes are not what they were")
	}
}

// TestDroppedEntitiesGo holds that a repair takes away what the node should not have, and
// that a flipped hash alone needs nobody.
func TestDroppedEntitiesGo(t *testing.T) {
	have := many(100)
	have["stray"] = "x"
	want := many(100)
	want["000001"] = "new"
	c, a := newControl(t), &applier{}
	cl := c.start(a, nil)
	s := c.next(time.Second)
	s.snapshot(1, have, false)
	s.ack(configv1.Ack_STATE_APPLIED)
	cl.FlipHash("services", "000002")
	in := s.query()
	if !bytes.Equal(in.GetPosition().GetRoot(), have.root()) {
		t.Error("a flipped hash changes the root although the bytes are right")
	}
	list := s.query(differ(in, want)...)
	var dropped []byte
	for _, b := range list.GetEntities() {
		dropped = append(dropped, b.GetHashes()...) // all of them; what is put again stays
	}
	changes := []*configv1.Change{}
	for _, ch := range puts(want) {
		if slices.Contains(differ(in, want), uint32(roothash.BucketOf("services", ch.GetId()))) {
			changes = append(changes, ch)
		}
	}
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Frame{Frame: &configv1.Frame{From: in.GetPosition(), To: at(2, want), Changes: changes, Dropped: dropped}}})
	s.ack(configv1.Ack_STATE_APPLIED)
	a.mu.Lock()
	defer a.mu.Unlock()
	if !maps.Equal(a.has, want) {
		t.Errorf("it has %d entities, stray %q, first %q", len(a.has), a.has["stray"], a.has["000001"])
	}
}

// inspected is an applier that remembers what it serves, and can be told that it is wrong.
type inspected struct {
	applier

	flipped map[string]bool // guarded by mu
}

func (a *inspected) Inspect(c config.Change, _ uint64) (uint64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.flipped[c.ID] {
		delete(a.flipped, c.ID)
		return 0, errors.New("it is not what it was")
	}
	return 1, nil
}

// TestWhatIsServedIsHealed holds that a node puts right by itself what it serves other than
// its own bytes say.
func TestWhatIsServedIsHealed(t *testing.T) {
	c, a := newControl(t), &inspected{flipped: map[string]bool{}}
	cl := c.startWith(a, nil)
	s := c.next(time.Second)
	s.snapshot(1, many(100), false)
	s.ack(configv1.Ack_STATE_APPLIED)
	a.mu.Lock()
	a.flipped["000042"], a.has["000042"] = true, "evil"
	a.mu.Unlock()
	eventually(t, func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if f := cl.Facts(); a.has["000042"] != many(100)["000042"] || f.Integrity.Repaired != 1 || f.Integrity.Found != 1 || f.Position.Revision != 1 {
			return fmt.Errorf("serves %q, %+v", a.has["000042"], f.Integrity)
		}
		return nil
	})
}

// gated is an applier each of whose looks waits for the test.
type gated struct {
	applier

	look chan struct{}
}

func (a *gated) Inspect(config.Change, uint64) (uint64, error) {
	<-a.look
	return 1, nil
}

// TestChangesDoNotWaitForALook holds that a change is not applied after a whole bucket was
// looked through.
func TestChangesDoNotWaitForALook(t *testing.T) {
	// All in one bucket.
	first, second := entities{}, entities{}
	for i := 0; len(first) < 60; i++ {
		if id := fmt.Sprintf("%06d", i); roothash.BucketOf("services", id) == 7 {
			first[id], second[id] = "one", "one"
		}
	}
	c, a := newControl(t), &gated{look: make(chan struct{})}
	c.startWith(a, nil)
	defer close(a.look)
	s := c.next(time.Second)
	s.snapshot(1, first, false)
	s.ack(configv1.Ack_STATE_APPLIED)
	a.look <- struct{}{} // it looks
	changed := slices.Sorted(maps.Keys(second))[0]
	second[changed] = "two"
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Frame{Frame: &configv1.Frame{
		From: at(1, first), To: at(2, second), Changes: puts(entities{changed: "two"}),
	}}})
	applied := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.has[changed] == "two"
	}
	for looks := 1; !applied(); looks++ {
		if looks > 20 {
			t.Fatalf("a change waits for %d looks", looks)
		}
		timer := time.NewTimer(200 * time.Millisecond)
		select {
		case a.look <- struct{}{}:
		case <-timer.C:
		}
		timer.Stop()
		time.Sleep(100 * time.Millisecond)
	}
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// chunks cuts entities into parts with their checksums.
func chunks(to *configv1.Position, e entities, n int) (*configv1.Manifest, []*configv1.SnapshotChunk) {
	m := &configv1.Manifest{To: to, Kinds: []string{"services"}, MustUnderstand: []string{"services"}}
	var out []*configv1.SnapshotChunk
	all := puts(e)
	for _, c := range all {
		c.MustUnderstand = true
	}
	for part := range slices.Chunk(all, (len(all)+n-1)/n) {
		raw, _ := proto.Marshal(&configv1.ChangeList{Changes: part})
		sum := sha256.Sum256(raw)
		m.Chunks = append(m.Chunks, &configv1.ManifestChunk{Checksum: sum[:], FirstId: part[0].GetId()})
		out = append(out, &configv1.SnapshotChunk{To: to, Changes: part, Checksum: sum[:], RemovalIntended: true})
	}
	for i, c := range out {
		c.Index, c.Count = uint32(i), uint32(len(out))
	}
	return m, out
}

// offer announces a snapshot and sends what the node does not have, up to most chunks.
func (s *stream) offer(m *configv1.Manifest, list []*configv1.SnapshotChunk, most int) (sent int) {
	s.t.Helper()
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Manifest{Manifest: m}})
	held := s.inventory().GetHeldChunks()
	for i, c := range list {
		if held[i/8]&(1<<(i%8)) != 0 && i < len(list)-1 {
			continue
		}
		if sent == most {
			return sent
		}
		s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_SnapshotChunk{SnapshotChunk: c}})
		sent++
	}
	return sent
}

func TestInterruptedSnapshotGoesOn(t *testing.T) {
	c, a := newControl(t), &applier{}
	c.start(a, nil)
	e := many(1000)
	s := c.next(time.Second)
	m, list := chunks(at(1, e), e, 20)
	s.offer(m, list, 12)
	s.ping()
	s.end <- errors.New("cut off")
	// Meanwhile one entity has changed.
	e["000005"] = "new"
	m, list = chunks(at(2, e), e, 20)
	s = c.next(time.Second)
	if sent := s.offer(m, list, 100); sent != 9 {
		t.Errorf("%d chunks were sent, want the 8 that were missing and the one that has changed", sent)
	}
	s.ack(configv1.Ack_STATE_APPLIED)
	if a.count() != 1000 || a.has["000005"] != "new" {
		t.Errorf("%d entities", a.count())
	}
	// Another store with much the same: the node makes the chunks of what it serves.
	e["000999"] = "newer"
	other := &configv1.Position{Lineage: "other", Generation: 1, Revision: 1, Root: e.root()}
	m, list = chunks(other, e, 20)
	if sent := s.offer(m, list, 100); sent != 1 {
		t.Errorf("%d chunks were sent, want one", sent)
	}
	s.ack(configv1.Ack_STATE_APPLIED)
}

// ping waits until the node has taken everything that was said.
func (s *stream) ping() {
	s.t.Helper()
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Command{Command: &configv1.Command{Id: 1, Target: "x", Name: "y"}}})
	for {
		m, err := s.Recv()
		if err != nil {
			s.t.Fatal(err)
		}
		if m.GetCommandResult() != nil {
			return
		}
	}
}

func TestManifestsThatEndTheStream(t *testing.T) {
	e := many(10)
	for name, change := range map[string]func(m *configv1.Manifest){
		"no chunks":  func(m *configv1.Manifest) { m.Chunks = nil },
		"no kind":    func(m *configv1.Manifest) { m.Chunks[0].FirstKind = 7 },
		"no root":    func(m *configv1.Manifest) { m.To.Root = nil },
		"no kinds":   func(m *configv1.Manifest) { m.Kinds = nil },
		"no lineage": func(m *configv1.Manifest) { m.To = nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := newControl(t)
			c.start(&applier{}, nil)
			s := c.next(time.Second)
			m, _ := chunks(at(1, e), e, 3)
			change(m)
			s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Manifest{Manifest: m}})
			c.next(time.Second) // it has come back
		})
	}
	c := newControl(t)
	c.start(&applier{}, nil)
	s := c.next(time.Second)
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_InventoryQuery{InventoryQuery: &configv1.InventoryQuery{Buckets: []uint32{roothash.Buckets}}}})
	c.next(time.Second)
}

// TestDeltaInParts holds that a delta of several messages is applied as one.
func TestDeltaInParts(t *testing.T) {
	c, a := newControl(t), &applier{}
	c.start(a, nil)
	s := c.next(time.Second)
	e := many(10)
	s.snapshot(1, e, false)
	s.ack(configv1.Ack_STATE_APPLIED)
	next := many(30)
	delete(next, "000003")
	from, to := at(1, e), at(2, next)
	parts := [][]*configv1.Change{{{Op: configv1.Change_OP_DELETE, Kind: "services", Id: "000003"}}, puts(next)}
	for i, part := range parts {
		s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_SnapshotChunk{SnapshotChunk: &configv1.SnapshotChunk{From: from, To: to, Index: uint32(i), Count: 2, Changes: part}}})
	}
	s.ack(configv1.Ack_STATE_APPLIED)
	if !a.last.To.IsZero() && a.last.Whole || a.count() != 29 {
		t.Errorf("whole %v, %d entities", a.last.Whole, a.count())
	}
}

// TestShortPositions holds what a change costs between sides that both know them.
func TestShortPositions(t *testing.T) {
	c, a := newControl(t), &applier{}
	c.features = []string{"short"}
	cl := c.start(a, func(o *controlclient.Options) { o.Cache = openCache(t, t.TempDir()) })
	s := c.next(time.Second)
	e := many(10)
	s.snapshot(1, e, false)
	ack := s.ack(configv1.Ack_STATE_APPLIED)
	if p := ack.GetPosition(); p.GetLineage() != "" || len(p.GetRoot()) != 8 || p.GetRevision() != 1 || ack.GetServing() != nil {
		t.Errorf("ack %v", ack)
	}
	s.ack(configv1.Ack_STATE_PERSISTED)
	next := many(11)
	root := e.root()
	s.frame(&configv1.Position{Revision: 1, Root: root[:8]}, &configv1.Position{Revision: 2, Root: next.root()},
		&configv1.Change{Op: configv1.Change_OP_PUT, Kind: "services", Id: "000010", Body: []byte(next["000010"])})
	s.ack(configv1.Ack_STATE_APPLIED)
	if p := cl.Facts().Position; p.Lineage != "l" || p.Generation != 1 || p.Revision != 2 {
		t.Errorf("position %+v", p)
	}
	s.ack(configv1.Ack_STATE_PERSISTED)
	// Another start is not the one that is served.
	s.frame(&configv1.Position{Revision: 1, Root: root[:8]}, &configv1.Position{Revision: 3, Root: next.root()})
	if ack := s.ack(configv1.Ack_STATE_DIVERGED); ack.GetServing().GetLineage() != "l" {
		t.Errorf("ack %v", ack)
	}
}

// TestRefusalIsToldAgain holds that a node that comes back says what it does not want.
func TestRefusalIsToldAgain(t *testing.T) {
	c, a := newControl(t), &applier{refuse: "bad"}
	c.start(a, nil)
	s := c.next(time.Second)
	s.snapshot(1, entities{"1": "a"}, false)
	s.ack(configv1.Ack_STATE_APPLIED)
	s.frame(at(1, entities{"1": "a"}), at(2, entities{"1": "a", "bad": "x"}), &configv1.Change{Op: configv1.Change_OP_PUT, Kind: "services", Id: "bad", Body: []byte("x")})
	s.ack(configv1.Ack_STATE_REJECTED)
	s.end <- errors.New("cut off")
	s = c.next(time.Second)
	h := s.hello
	if h.GetRefused().GetRevision() != 2 || len(h.GetRefusals()) != 1 || h.GetRefusals()[0].GetId() != "bad" || h.GetPosition().GetRevision() != 1 {
		t.Errorf("hello %v", h)
	}
}

// TestHelloStaysSmall holds that a node with much to say against a configuration can still
// introduce itself.
func TestHelloStaysSmall(t *testing.T) {
	c, a := newControl(t), &verbose{}
	c.startWith(a, nil)
	s := c.next(time.Second)
	s.snapshot(1, many(3), false)
	if ack := s.ack(configv1.Ack_STATE_REJECTED); len(ack.GetErrors()) != 100 || proto.Size(ack) > 1<<20 {
		t.Errorf("%d errors in %d bytes", len(ack.GetErrors()), proto.Size(ack))
	}
	s.end <- errors.New("cut off")
	s = c.next(time.Second)
	if len(s.hello.GetRefusals()) != 20 || proto.Size(s.hello) > 64<<10 {
		t.Errorf("%d errors in a hello of %d bytes", len(s.hello.GetRefusals()), proto.Size(s.hello))
	}
}

// verbose refuses with many words.
type verbose struct{}

func (verbose) Apply(context.Context, config.Update) ([]config.EntityError, error) {
	long := strings.Repeat("ä", 5000)
	list := make([]config.EntityError, 1000)
	for i := range list {
		list[i] = config.EntityError{Kind: long, ID: long, Name: long, Field: long, Message: long}
	}
	return list, config.ErrRefused
}

// saved is a cache with revision 1 as a base and two revisions after it.
func saved(t *testing.T, dir string) (one, two, three entities) {
	t.Helper()
	c, a := newControl(t), &applier{}
	cl := c.start(a, func(o *controlclient.Options) { o.Cache = openCache(t, dir) })
	s := c.next(time.Second)
	one, two, three = many(1), many(2), many(3)
	s.snapshot(1, one, false)
	s.ackOf(configv1.Ack_STATE_PERSISTED) // it is a base
	s.frame(at(1, one), at(2, two), puts(two)...)
	s.frame(at(2, two), at(3, three), puts(three)...)
	for range 2 {
		s.ackOf(configv1.Ack_STATE_APPLIED)
	}
	eventually(t, func() error {
		cache, err := diskcache.Open(dir, nil)
		if err != nil {
			return err
		}
		defer func() { _ = cache.Close() }()
		if p := cache.Load(nil).Update.To; p.Revision != 3 {
			return fmt.Errorf("on disk is %v", p)
		}
		return nil
	})
	cl.stop()
	return one, two, three
}

// TestCrashLoop holds that a node starts from before what ended it, says so, and goes on
// with the next change.
func TestCrashLoop(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	_, two, three := saved(t, dir)
	position := func(e entities, revision uint64) config.Position {
		return config.Position{Lineage: "l", Generation: 1, Revision: revision, Root: roothash.Root(e.root())}
	}
	for range 3 {
		g, err := crashloop.Open(crashloop.Options{Dir: state})
		if err != nil {
			t.Fatal(err)
		}
		g.Applying(position(three, 3))
	}
	g, err := crashloop.Open(crashloop.Options{Dir: state})
	if err != nil {
		t.Fatal(err)
	}
	c, a := newControl(t), &applier{}
	cl := c.start(a, func(o *controlclient.Options) { o.Cache, o.Guard = openCache(t, dir), g })
	if f := cl.Facts(); f.Position.Revision != 2 || f.Refused.Revision != 3 || !strings.Contains(f.Reasons[0].Message, "3 times") || f.Source != config.SourceCache {
		t.Errorf("facts %+v", f)
	}
	s := c.next(time.Second)
	if h := s.hello; h.GetPosition().GetRevision() != 2 || h.GetRefused().GetRevision() != 3 || len(h.GetRefusals()) != 1 {
		t.Errorf("hello %v", h)
	}
	// A control plane that sends it all the same is refused.
	s.frame(at(2, two), at(3, three), puts(three)...)
	if ack := s.ackOf(configv1.Ack_STATE_REJECTED); !strings.Contains(ack.GetErrors()[0].GetMessage(), "3 times") {
		t.Errorf("ack %v", ack)
	}
	four := many(4)
	s.frame(at(2, two), at(4, four), puts(four)...)
	s.ackOf(configv1.Ack_STATE_APPLIED)
	if f := cl.Facts(); f.Position.Revision != 4 || !f.Refused.IsZero() {
		t.Errorf("facts %+v", f)
	}
	cl.stop()
	if got := openCache(t, dir).Load(nil).Update.To.Revision; got != 4 {
		t.Errorf("on disk is %d", got)
	}
}

// TestNothingElseToServe holds that a node that has only what it was killed with serves it
// in the end: from its disk when there is no later one, and from the control plane when its
// disk does not have it.
func TestNothingElseToServe(t *testing.T) {
	one := many(1)
	position := config.Position{Lineage: "l", Generation: 1, Revision: 1, Root: roothash.Root(one.root())}
	killed := func(t *testing.T) *crashloop.Guard {
		t.Helper()
		dir := t.TempDir()
		for range 3 {
			g, err := crashloop.Open(crashloop.Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			g.Applying(position)
		}
		g, err := crashloop.Open(crashloop.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	onDisk := func(t *testing.T) string {
		t.Helper()
		dir := t.TempDir()
		c := newControl(t)
		cl := c.start(&applier{}, func(o *controlclient.Options) { o.Cache = openCache(t, dir) })
		s := c.next(time.Second)
		s.snapshot(1, one, false)
		s.ackOf(configv1.Ack_STATE_PERSISTED)
		cl.stop()
		return dir
	}
	t.Run("from disk", func(t *testing.T) {
		dir, g := onDisk(t), killed(t)
		c := newControl(t)
		c.server.Stop() // there is nobody
		cl := c.start(&applier{}, func(o *controlclient.Options) {
			o.Cache, o.Guard, o.Patience = openCache(t, dir), g, 300*time.Millisecond
		})
		if f := cl.Facts(); !f.Position.IsZero() || f.Refused != position {
			t.Errorf("facts %+v", f)
		}
		eventually(t, func() error {
			if f := cl.Facts(); f.Position != position || f.Source != config.SourceCache || !f.Refused.IsZero() || f.Reasons != nil {
				return fmt.Errorf("facts %+v", f)
			}
			return nil
		})
		cl.stop()
	})
	for name, cached := range map[string]bool{"connected": true, "from the control plane": false} {
		t.Run(name, func(t *testing.T) {
			dir, g := t.TempDir(), killed(t)
			if cached {
				dir = onDisk(t)
			}
			c := newControl(t)
			cl := c.start(&applier{}, func(o *controlclient.Options) {
				o.Cache, o.Guard, o.Patience = openCache(t, dir), g, 300*time.Millisecond
			})
			s := c.next(time.Second)
			if h := s.hello; h.GetPosition() != nil || h.GetRefused().GetRevision() != 1 {
				t.Errorf("first hello %v", h)
			}
			s = c.next(time.Second)
			if h := s.hello; h.GetRefused() != nil || len(h.GetRefusals()) > 0 || (h.GetPosition().GetRevision() == 1) != cached {
				t.Errorf("second hello %v", h)
			}
			if !cached {
				s.snapshot(1, one, false)
				s.ackOf(configv1.Ack_STATE_APPLIED)
			}
			if f := cl.Facts(); f.Position != position {
				t.Errorf("facts %+v", f)
			}
			cl.stop()
		})
	}
	t.Run("a later one comes", func(t *testing.T) {
		dir, g := onDisk(t), killed(t)
		c := newControl(t)
		cl := c.start(&applier{}, func(o *controlclient.Options) {
			o.Cache, o.Guard, o.Patience = openCache(t, dir), g, 300*time.Millisecond
		})
		s := c.next(time.Second)
		two := many(2)
		s.snapshot(2, two, false)
		s.ackOf(configv1.Ack_STATE_APPLIED)
		time.Sleep(600 * time.Millisecond)
		if f := cl.Facts(); f.Position.Revision != 2 || !f.Connected {
			t.Errorf("facts %+v", f)
		}
		cl.stop()
	})
	t.Run("an earlier one is served", func(t *testing.T) {
		dir := t.TempDir()
		_, _, three := saved(t, dir)
		state := t.TempDir()
		for range 3 {
			g, err := crashloop.Open(crashloop.Options{Dir: state})
			if err != nil {
				t.Fatal(err)
			}
			g.Applying(config.Position{Lineage: "l", Generation: 1, Revision: 3, Root: roothash.Root(three.root())})
		}
		g, err := crashloop.Open(crashloop.Options{Dir: state})
		if err != nil {
			t.Fatal(err)
		}
		c := newControl(t)
		cl := c.start(&applier{}, func(o *controlclient.Options) {
			o.Cache, o.Guard, o.Patience = openCache(t, dir), g, 300*time.Millisecond
		})
		c.next(time.Second)
		time.Sleep(600 * time.Millisecond)
		if f := cl.Facts(); f.Position.Revision != 2 || f.Refused.Revision != 3 || !f.Connected {
			t.Errorf("facts %+v", f)
		}
		cl.stop()
	})
}

// ackOf passes over acks of another state.
func (s *stream) ackOf(want configv1.Ack_State) *configv1.Ack {
	s.t.Helper()
	for {
		m, err := s.Recv()
		if err != nil {
			s.t.Fatalf("no ack: %v", err)
		}
		if a := m.GetAck(); a != nil && a.GetState() == want {
			return a
		}
	}
}

// TestWhatCanNotBeBuiltIsPassedOver at the start for what was there before it.
func TestWhatCanNotBeBuiltIsPassedOver(t *testing.T) {
	dir := t.TempDir()
	saved(t, dir)
	c, a := newControl(t), &applier{refuse: "000002"} // of revision 3
	cl := c.start(a, func(o *controlclient.Options) { o.Cache = openCache(t, dir) })
	if f := cl.Facts(); f.Position.Revision != 2 || f.Refused.Revision != 3 || f.CacheError == "" {
		t.Errorf("facts %+v", f)
	}
}

func TestFallback(t *testing.T) {
	dir := t.TempDir()
	saved(t, dir)
	bases, err := filepath.Glob(filepath.Join(dir, "*.base"))
	if err != nil || len(bases) == 0 {
		t.Fatalf("bases %v, %v", bases, err)
	}
	for name, test := range map[string]struct {
		path   string
		source config.Source
	}{
		"good": {bases[0], config.SourceFile}, "bad": {filepath.Join(dir, "nothing.base"), config.SourceNone},
	} {
		t.Run(name, func(t *testing.T) {
			c, a := newControl(t), &applier{}
			cl := c.start(a, func(o *controlclient.Options) {
				o.Cache = openCache(t, t.TempDir())
				o.Fallback = func() (config.Update, error) { return diskcache.ReadFile(test.path, nil) }
			})
			f := cl.Facts()
			if f.Source != test.source || (test.source == config.SourceNone) != (f.CacheError != "") {
				t.Errorf("facts %+v", f)
			}
			if s := c.next(time.Second); s.hello.GetSource() != test.source.String() {
				t.Errorf("hello %v", s.hello)
			}
		})
	}
}

// panicking panics once.
type panicking struct {
	applier

	once sync.Once
}

func (a *panicking) Apply(ctx context.Context, u config.Update) ([]config.EntityError, error) {
	a.once.Do(func() { panic("on purpose") })
	return a.applier.Apply(ctx, u)
}

// TestPanicIsARefusal holds that a configuration that can not be built does not end the
// node.
func TestPanicIsARefusal(t *testing.T) {
	c, a := newControl(t), &panicking{}
	c.startWith(a, nil)
	s := c.next(time.Second)
	s.snapshot(1, many(2), false)
	if ack := s.ack(configv1.Ack_STATE_REJECTED); !strings.Contains(ack.GetErrors()[0].GetMessage(), "panics") {
		t.Errorf("ack %v", ack)
	}
	s.snapshot(2, many(3), false)
	s.ack(configv1.Ack_STATE_APPLIED)
}
