package rpc_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// able is the hello of a node that can do everything.
func able(name string) *configv1.Hello {
	h := hello(name)
	h.Features = []string{"zstd", "zstd-1", "repair", "manifest", "parts", "short"}
	return h
}

func inProto(p store.Position) *configv1.Position {
	return &configv1.Position{Lineage: p.Lineage, Generation: p.Generation, Revision: p.Revision, Root: p.Root[:]}
}

// short returns what a node calls an entity of its own.
func short(id, body string) uint64 {
	h := roothash.Entity("services", id, []byte(body))
	return h.Short()
}

// tell answers the queries of a repair, and returns how many buckets were asked for.
func (n *node) tell(at *configv1.Position) (buckets int) {
	n.t.Helper()
	if q := n.hear().GetInventoryQuery(); q == nil || len(q.GetBuckets()) != 0 {
		n.t.Fatalf("instead of a query for all buckets: %v", q)
	}
	sums := make([]uint64, roothash.Buckets)
	for id, b := range n.tree {
		sums[roothash.BucketOf("services", id)] += short(id, b)
	}
	var all []byte
	for _, s := range sums {
		all = binary.LittleEndian.AppendUint64(all, s)
	}
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Inventory{Inventory: &configv1.Inventory{Position: at, BucketHashes: all, Last: true}}})
	q := n.hear().GetInventoryQuery()
	if q == nil {
		n.t.Fatal("no query for buckets")
	}
	for i, number := range q.GetBuckets() {
		e := &configv1.BucketEntities{Bucket: number}
		for id, b := range n.tree {
			if roothash.BucketOf("services", id) == int(number) {
				e.Hashes = binary.LittleEndian.AppendUint64(e.Hashes, short(id, b))
			}
		}
		n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Inventory{Inventory: &configv1.Inventory{
			Position: at, Entities: []*configv1.BucketEntities{e}, Last: i == len(q.GetBuckets())-1,
		}}})
	}
	return len(q.GetBuckets())
}

// mend takes the frame of a repair, or its parts.
func (n *node) mend() (f *configv1.Frame) {
	n.t.Helper()
	by := map[uint64]string{}
	for id, b := range n.tree {
		by[short(id, b)] = id
	}
	for {
		m := n.hear()
		if f = m.GetFrame(); f == nil {
			c := m.GetSnapshotChunk()
			if c.GetFrom() == nil {
				n.t.Fatalf("neither a frame nor its parts: %v", m)
			}
			f = &configv1.Frame{From: c.GetFrom(), To: c.GetTo(), Changes: c.GetChanges(), Encoding: c.GetEncoding(), Payload: c.GetPayload(), Dropped: c.GetDropped()}
		}
		for b := f.GetDropped(); len(b) >= 8; b = b[8:] {
			id, has := by[binary.LittleEndian.Uint64(b)]
			if !has {
				n.t.Error("something is dropped that the node does not have")
			}
			delete(n.tree, id)
		}
		n.change(f.GetChanges(), f.GetEncoding(), f.GetPayload())
		if c := m.GetSnapshotChunk(); c == nil || c.GetIndex() == c.GetCount()-1 {
			return f
		}
	}
}

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("s", i)
	}
	return out
}

// has gives a node what the store has.
func (n *node) has(list ...string) {
	for _, name := range list {
		n.tree[id(name)] = string(body(name))
	}
}

func TestRepairSendsWhatDiffers(t *testing.T) {
	p := start(t)
	head := p.put(names(5000)...)
	h := hello("n")
	h.Features = []string{"repair"} // what it is sent is to be seen
	h.Position = inProto(head)
	h.Position.Root = make([]byte, 32)
	n := p.connect(h)
	if w := n.hear().GetWelcome(); w.GetPlan() != configv1.Welcome_PLAN_REPAIR {
		t.Fatalf("welcome %v", w)
	}
	n.has(names(5000)...)
	n.tree[id("s7")] = "flipped"
	delete(n.tree, id("s8"))
	n.tree[id("nobody")] = "made up"
	before := n.got + n.said
	if buckets := n.tell(h.GetPosition()); buckets == 0 || buckets > 3 {
		t.Errorf("%d buckets were asked for", buckets)
	}
	f := n.mend()
	n.equals(head)
	if len(f.GetChanges()) != 2 || len(f.GetDropped()) != 16 {
		t.Errorf("%d changes and %d bytes dropped, want the 2 entities that it lacks and 2 that it must not have", len(f.GetChanges()), len(f.GetDropped()))
	}
	if used := n.got + n.said - before; used > 16<<10 {
		t.Errorf("the repair takes %d bytes, want at most 16 KiB", used)
	} else {
		t.Logf("the repair takes %d bytes", used)
	}
	n.ack(configv1.Ack_STATE_APPLIED, inProto(head))
	// From then on it gets deltas.
	head = p.put("more")
	if to, whole := n.apply(); whole || to.GetRevision() != head.Revision {
		t.Errorf("after the repair: revision %d, whole %v", to.GetRevision(), whole)
	}
	n.equals(head)
}

// TestRepairOfWhoWasAwayTooLong holds that a node that the log does not reach gets what
// differs, and what changes while that is found out.
func TestRepairOfWhoWasAwayTooLong(t *testing.T) {
	p := startWith(t, bolt.Options{LogRevisions: 10})
	then := p.put(names(3000)...)
	for i := range 90 {
		p.put(fmt.Sprint("late", i))
	}
	p.remove("s3")
	h := able("n")
	h.Position = inProto(then)
	n := p.connect(h)
	if w := n.hear().GetWelcome(); w.GetPlan() != configv1.Welcome_PLAN_REPAIR {
		t.Fatalf("welcome %v", w)
	}
	n.has(names(3000)...)
	head := p.put("meanwhile")
	n.tell(h.GetPosition())
	f := n.mend()
	if f.GetFrom().GetRevision() != then.Revision || f.GetTo().GetRevision() != head.Revision {
		t.Errorf("from %v to %v", f.GetFrom(), f.GetTo())
	}
	n.equals(head)
}

// TestChangesDuringARepair holds that what is written between the two questions is in the
// answer.
func TestChangesDuringARepair(t *testing.T) {
	p := start(t)
	head := p.put(names(500)...)
	h := able("n")
	h.Position = inProto(head)
	h.Position.Root = make([]byte, 32)
	n := p.connect(h)
	n.hear()
	n.has(names(500)...)
	n.tree[id("s7")] = "flipped"
	n.hear()
	sums := make([]byte, 0, 8*roothash.Buckets)
	tree := roothash.New()
	for id, b := range n.tree {
		tree.Put("services", id, []byte(b))
	}
	for _, s := range tree.BucketHashes() {
		sums = binary.LittleEndian.AppendUint64(sums, uint64(s))
	}
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Inventory{Inventory: &configv1.Inventory{Position: h.GetPosition(), BucketHashes: sums, Last: true}}})
	q := n.hear().GetInventoryQuery()
	if len(q.GetBuckets()) != 1 {
		t.Fatalf("query %v", q)
	}
	p.put("x1", "x2")
	p.remove("s9")
	head = p.remove("x1")
	e := &configv1.BucketEntities{Bucket: q.GetBuckets()[0]}
	for id, b := range n.tree {
		if roothash.BucketOf("services", id) == int(e.GetBucket()) {
			e.Hashes = binary.LittleEndian.AppendUint64(e.Hashes, short(id, b))
		}
	}
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Inventory{Inventory: &configv1.Inventory{Position: h.GetPosition(), Entities: []*configv1.BucketEntities{e}, Last: true}}})
	n.mend()
	n.equals(head)
}

// TestRepairThatDoesNotHelp holds the order: a repair, a snapshot, and then nothing until
// the next change.
func TestRepairThatDoesNotHelp(t *testing.T) {
	p := start(t)
	head := p.put(names(300)...)
	h := able("n")
	h.Position = inProto(head)
	n := p.connect(h)
	if w := n.hear().GetWelcome(); w.GetPlan() != configv1.Welcome_PLAN_UP_TO_DATE {
		t.Fatalf("welcome %v", w)
	}
	n.has(names(300)...)
	n.tree[id("s1")] = "flipped"
	ill := inProto(head)
	ill.Root = make([]byte, 32)
	// It has found out by itself.
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ack{Ack: &configv1.Ack{State: configv1.Ack_STATE_DIVERGED, Position: ill, Serving: ill}}})
	n.tell(ill)
	f := n.mend()
	n.equals(head)
	n.ack(configv1.Ack_STATE_DIVERGED, f.GetTo())
	if to, whole := n.takeAll(nil); !whole || to.GetRevision() != head.Revision {
		t.Errorf("after a repair that did not help: revision %d, whole %v", to.GetRevision(), whole)
	}
	n.ack(configv1.Ack_STATE_DIVERGED, inProto(head))
	head = p.put("next")
	if to, _ := n.takeAll(nil); to.GetRevision() != head.Revision {
		t.Errorf("after a snapshot that did not help: revision %d, want the next one, %d", to.GetRevision(), head.Revision)
	}
}

// TestSnapshotsDoNotLeadBack holds that a snapshot that was made for another node a moment
// ago is not sent to one that serves what came since.
func TestSnapshotsDoNotLeadBack(t *testing.T) {
	p := start(t)
	p.put(names(3000)...)
	h := hello("early")
	h.Features = []string{"manifest"}
	early := p.connect(h)
	early.hear()
	early.takeAll(nil)
	head := p.put("more")
	h = hello("late")
	h.Features = []string{"manifest"}
	h.Position = inProto(head)
	late := p.connect(h)
	if w := late.hear().GetWelcome(); w.GetPlan() != configv1.Welcome_PLAN_UP_TO_DATE {
		t.Fatalf("welcome %v", w)
	}
	ill := inProto(head)
	ill.Root = make([]byte, 32)
	late.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ack{Ack: &configv1.Ack{State: configv1.Ack_STATE_DIVERGED, Position: ill, Serving: ill}}})
	if to, _ := late.takeAll(nil); to.GetRevision() < head.Revision {
		t.Errorf("the snapshot is of revision %d, the node serves %d", to.GetRevision(), head.Revision)
	}
	late.equals(head)
}

// takeAll takes a snapshot of which the node has the chunks with those checksums.
func (n *node) takeAll(held map[string][]*configv1.Change) (to *configv1.Position, whole bool) {
	n.t.Helper()
	m := n.hear().GetManifest()
	if m == nil {
		n.t.Fatal("no manifest")
	}
	bits := make([]byte, (len(m.GetChunks())+7)/8)
	for i, c := range m.GetChunks() {
		if held[string(c.GetChecksum())] != nil {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Inventory{Inventory: &configv1.Inventory{HeldChunks: bits, Last: true}}})
	clear(n.tree)
	for i := 0; ; i++ {
		c := n.hear().GetSnapshotChunk()
		if c == nil {
			n.t.Fatal("no chunk")
		}
		for ; i < int(c.GetIndex()); i++ {
			n.change(held[string(m.GetChunks()[i].GetChecksum())], "", nil)
		}
		n.change(c.GetChanges(), c.GetEncoding(), c.GetPayload())
		if c.GetIndex() == c.GetCount()-1 {
			return c.GetTo(), true
		}
	}
}

// TestSnapshotGoesOnAfterAnInterruption holds that chunks that a node has are not sent
// again, also when a part of the configuration has changed since.
func TestSnapshotGoesOnAfterAnInterruption(t *testing.T) {
	p := start(t)
	p.put(names(3000)...)
	h := hello("n")
	h.Features = []string{"manifest"}
	n := p.connect(h)
	n.hear()
	m := n.hear().GetManifest()
	if len(m.GetChunks()) < 20 {
		t.Fatalf("%d chunks", len(m.GetChunks()))
	}
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Inventory{Inventory: &configv1.Inventory{Last: true}}})
	held := map[string][]*configv1.Change{}
	half := len(m.GetChunks()) / 2
	for range half {
		c := n.hear().GetSnapshotChunk()
		held[string(c.GetChecksum())] = c.GetChanges()
	}
	if err := n.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	head := p.put("s17", "one more") // s17 is as it was
	again := p.connect(h)
	again.hear()
	before := again.got
	// The snapshot may be that of before, from where a delta leads on.
	for to, _ := again.takeAll(held); ; to, _ = again.apply() {
		again.ack(configv1.Ack_STATE_APPLIED, to)
		if to.GetRevision() == head.Revision {
			break
		}
	}
	again.equals(head)
	whole := 0
	for id, b := range again.tree {
		whole += len(id) + len(b)
	}
	if got := again.got - before; got > whole*7/10 {
		t.Errorf("%d bytes were sent of %d although the node had half of the chunks", got, whole)
	}
}

// TestChunksAreCutByContent holds that a change leaves most chunks as they were.
func TestChunksAreCutByContent(t *testing.T) {
	p := start(t)
	p.put(names(4000)...)
	sums := func(name string) map[string]bool {
		h := hello(name)
		h.Features = []string{"manifest"}
		n := p.connect(h)
		n.hear()
		out := map[string]bool{}
		for _, c := range n.hear().GetManifest().GetChunks() {
			out[string(c.GetChecksum())] = true
		}
		return out
	}
	before := sums("a")
	p.remove("s5")
	p.put("new 1", "new 2")
	// The snapshot of before is good for a moment; a node that refused it gets a new one.
	_, err := p.store.Update(t.Context(), store.Info{}, func(tx store.WriteTx) error {
		for i := range 1100 {
			if err := tx.Put("routes", fmt.Sprintf("%05d", i), []byte(`{}`), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 1001 {
		p.put("again")
		p.remove("again")
	}
	after := sums("b")
	same := 0
	for sum := range maps.Keys(before) {
		if after[sum] {
			same++
		}
	}
	if len(before) < 50 || same < len(before)*8/10 {
		t.Errorf("%d of %d chunks are the same after three changes, there are %d now", same, len(before), len(after))
	}
}

// TestLargeDeltaComesInParts holds that no message comes near the limit of the wire.
func TestLargeDeltaComesInParts(t *testing.T) {
	p := start(t)
	then := p.put(names(4000)...)
	h := hello("n")
	h.Features = []string{"parts"}
	h.Position = inProto(then)
	n := p.connect(h)
	if w := n.hear().GetWelcome(); w.GetPlan() != configv1.Welcome_PLAN_UP_TO_DATE {
		t.Fatalf("welcome %v", w)
	}
	n.has(names(4000)...)
	more := names(5000)[4000:]
	head := p.put(more...)
	for {
		c := n.hear().GetSnapshotChunk()
		if c == nil || c.GetFrom().GetRevision() != then.Revision || c.GetTo().GetRevision() != head.Revision {
			t.Fatalf("chunk from %v to %v", c.GetFrom(), c.GetTo())
		}
		n.change(c.GetChanges(), "", nil)
		if c.GetCount() < 10 {
			t.Fatalf("%d parts", c.GetCount())
		}
		if c.GetIndex() == c.GetCount()-1 {
			break
		}
	}
	n.equals(head)
	n.ack(configv1.Ack_STATE_APPLIED, inProto(head))
	// What is most of everything comes as a snapshot.
	all := names(5000)
	head, err := p.store.Update(t.Context(), store.Info{}, func(tx store.WriteTx) error {
		for _, name := range all[:2000] {
			if err := tx.Put("services", id(name), body(name+"!"), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if to, whole := n.apply(); !whole || to.GetRevision() != head.Revision {
		t.Errorf("revision %d, whole %v", to.GetRevision(), whole)
	}
	n.equals(head)
}

// TestSnapshotsWaitForTheirTurn holds that a fleet without anything does not get
// everything at a time, and gets it all the same.
func TestSnapshotsWaitForTheirTurn(t *testing.T) {
	p := start(t)
	head := p.put(names(1000)...)
	const fleet = 24
	nodes := make([]*node, fleet)
	var places []uint32
	for i := range nodes {
		h := hello(fmt.Sprint("n", i))
		h.Features = []string{"manifest"}
		nodes[i] = p.connect(h)
		switch w := nodes[i].hear().GetWelcome(); w.GetPlan() { //nolint:exhaustive // the others are wrong
		case configv1.Welcome_PLAN_SNAPSHOT:
		case configv1.Welcome_PLAN_HELD:
			places = append(places, w.GetPlace())
		default:
			t.Errorf("welcome %v", w)
		}
	}
	if !slices.Equal(places, []uint32{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Fatalf("places %v, want 16 nodes at a time and the others in order", places)
	}
	for _, n := range nodes {
		to, _ := n.takeAll(nil)
		n.equals(head)
		n.ack(configv1.Ack_STATE_APPLIED, to)
	}
}

// TestBytesOfAChange holds what a route costs on its way to a node and back, without what
// HTTP/2 and TLS put around it.
func TestBytesOfAChange(t *testing.T) {
	p := start(t)
	then := p.put(names(100)...)
	h := able("n")
	h.Position = inProto(then)
	n := p.connect(h)
	n.hear()
	id := uuid.NewString()
	body := fmt.Appendf(nil, `{"created_at":1795660129,"destinations":null,"headers":null,"hosts":null,"https_redirect_status_code":426,"id":%q,`+
		`"methods":["GET","POST"],"name":"cart-checkout-r17","path_handling":"v0","paths":["/cart/v1/checkout"],"preserve_host":false,`+
		`"protocols":["http","https"],"regex_priority":0,"request_buffering":true,"response_buffering":true,"service":{"id":%q},"snis":null,`+
		`"sources":null,"strip_path":true,"tags":null,"updated_at":1795660129}`, id, uuid.NewString())
	_, err := p.store.Update(t.Context(), store.Info{}, func(tx store.WriteTx) error { return tx.Put("routes", id, body, nil) })
	if err != nil {
		t.Fatal(err)
	}
	n.got, n.said = 0, 0
	f := n.hear().GetFrame()
	if f.GetEncoding() != "zstd-1" {
		t.Fatalf("frame %v", f)
	}
	n.change(f.GetChanges(), f.GetEncoding(), f.GetPayload())
	if n.tree[id] != string(body) {
		t.Errorf("the node gets %q", n.tree[id])
	}
	at := &configv1.Position{Revision: f.GetTo().GetRevision(), Root: f.GetTo().GetRoot()[:8]}
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ack{Ack: &configv1.Ack{State: configv1.Ack_STATE_APPLIED, Position: at, ApplyUs: 700}}})
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ack{Ack: &configv1.Ack{State: configv1.Ack_STATE_PERSISTED, Position: at}}})
	t.Logf("a route of %d bytes takes %d to the node and %d back", len(body), n.got, n.said)
	if n.got+n.said > 400 {
		t.Errorf("%d bytes to the node and %d back", n.got, n.said)
	}
	n.equalsAck(p, at)
}

// equalsAck waits until the hub knows that the node serves a revision.
func (n *node) equalsAck(p *plane, at *configv1.Position) {
	n.t.Helper()
	spec, err := hub.ParseSpec("all")
	if err != nil {
		n.t.Fatal(err)
	}
	head, err := p.store.Position()
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Second)
	defer cancel()
	if _, err := p.hub.Wait(ctx, head, spec); err != nil {
		n.t.Errorf("revision %d is not known to be served: %v", at.GetRevision(), err)
	}
}
