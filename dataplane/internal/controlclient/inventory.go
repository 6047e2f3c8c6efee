package controlclient

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

const (
	// maxInventory is about how many bytes of hashes one message has.
	maxInventory = 64 << 10
	// maxLeftover bounds the chunks that are kept of a transfer that did not become
	// complete.
	maxLeftover = 1 << 14
)

// query answers what the control plane asks in a repair: what is there is computed anew
// from the bytes, so that what has changed in memory shows.
func (s *session) query(m *configv1.InventoryQuery) error {
	buckets := m.GetBuckets()
	if len(buckets) == 0 {
		return s.tellBuckets()
	}
	if len(buckets) > roothash.Buckets || slices.Max(buckets) >= roothash.Buckets {
		return badMessage("inventory query", fmt.Errorf("there are %d buckets", roothash.Buckets))
	}
	s.c.lock()
	at := s.c.state.position
	s.asked = map[uint64]key{}
	var parts []*configv1.BucketEntities
	for _, number := range buckets {
		part := &configv1.BucketEntities{Bucket: number}
		for k, e := range s.c.state.buckets[number] {
			short := e.hash.Short()
			s.asked[short] = k
			part.Hashes = binary.LittleEndian.AppendUint64(part.Hashes, short)
		}
		sortShorts(part.Hashes)
		parts = append(parts, part)
	}
	s.c.applying.Unlock()
	for len(parts) > 0 {
		n, size := 0, 0
		for n < len(parts) && size < maxInventory {
			size += len(parts[n].GetHashes()) + 8
			n++
		}
		in := &configv1.Inventory{Position: toProto(at), Entities: parts[:n], Last: n == len(parts)}
		if err := s.send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Inventory{Inventory: in}}); err != nil {
			return err
		}
		parts = parts[n:]
	}
	return nil
}

// sortShorts brings hashes into an order that nodes which have the same agree on: they get
// the same answer, which is made once.
func sortShorts(b []byte) {
	list := make([]uint64, len(b)/8)
	for i := range list {
		list[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	slices.Sort(list)
	for i, v := range list {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
}

func (s *session) tellBuckets() error {
	s.c.lock()
	if wrong := s.c.state.proveAll(); wrong > 0 {
		s.c.log.Error("entities are not what was applied", "entities", wrong)
		at := s.c.state.position
		s.c.update(func(f *Facts) {
			f.Position = at
			f.Integrity.Found += wrong
			f.Integrity.asked += wrong
		})
	}
	in := &configv1.Inventory{Position: toProto(s.c.state.position), Last: true}
	for _, h := range s.c.state.tree.BucketHashes() {
		in.BucketHashes = binary.LittleEndian.AppendUint64(in.GetBucketHashes(), uint64(h))
	}
	s.c.applying.Unlock()
	return s.send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Inventory{Inventory: in}})
}

// drop makes removals of the hashes that a repair takes away; applying is held.
func (s *session) drop(u *config.Update, dropped []byte) {
	if len(dropped) < 8 {
		return
	}
	put := make(map[key]bool, len(u.Changes))
	for _, c := range u.Changes {
		put[key{c.Kind, c.ID}] = true
	}
	for ; len(dropped) >= 8; dropped = dropped[8:] {
		k, known := s.asked[binary.LittleEndian.Uint64(dropped)]
		if known && !put[k] {
			u.Changes = append(u.Changes, config.Change{Op: config.Delete, Kind: k.kind, ID: k.id})
		}
	}
	s.asked = nil
}

// leftovers are chunks by checksum.
type leftovers map[string][]config.Change

// manifest answers the announcement of a snapshot with the chunks that need not be sent:
// those of a transfer that was interrupted, and those that the node can make of what it
// has.
func (s *session) manifest(m *configv1.Manifest) error {
	to, err := s.position(m.GetTo())
	if err != nil {
		return badMessage("position of a manifest", err)
	}
	if len(m.GetChunks()) == 0 || len(m.GetChunks()) > maxChunks {
		return badMessage("manifest", fmt.Errorf("it has %d chunks", len(m.GetChunks())))
	}
	for _, c := range m.GetChunks() {
		if int(c.GetFirstKind()) >= len(m.GetKinds()) {
			return badMessage("manifest", fmt.Errorf("there is no kind %d", c.GetFirstKind()))
		}
	}
	a := &assembly{to: to, chunks: make([]chunk, len(m.GetChunks()))}
	held := make([]byte, (len(a.chunks)+7)/8)
	own := s.c.ownChunks(m)
	for i, c := range m.GetChunks() {
		sum := string(c.GetChecksum())
		changes, has := s.c.leftovers[sum]
		if !has {
			changes, has = own[sum]
		}
		if has {
			a.chunks[i] = chunk{sum, changes, true}
			held[i/8] |= 1 << (i % 8)
		}
	}
	s.whole = a
	return s.send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Inventory{Inventory: &configv1.Inventory{HeldChunks: held, Last: true}}})
}

// ownChunks makes the chunks of a manifest of the entities that are served.
func (c *Client) ownChunks(m *configv1.Manifest) leftovers {
	c.lock()
	defer c.applying.Unlock()
	if c.state.count() == 0 {
		return nil
	}
	number := make(map[string]int, len(m.GetKinds()))
	for i, kind := range m.GetKinds() {
		number[kind] = i
	}
	must := make(map[string]bool, len(m.GetMustUnderstand()))
	for _, kind := range m.GetMustUnderstand() {
		must[kind] = true
	}
	all := make([]config.Change, 0, c.state.count())
	for _, change := range c.state.all() {
		if _, known := number[change.Kind]; known {
			all = append(all, change)
		}
	}
	slices.SortFunc(all, func(a, b config.Change) int {
		if a.Kind != b.Kind {
			return number[a.Kind] - number[b.Kind]
		}
		return compareText(a.ID, b.ID)
	})
	out := leftovers{}
	for i, first := range m.GetChunks() {
		// Up to the first entity of the next chunk.
		n := len(all)
		if i+1 < len(m.GetChunks()) {
			next := m.GetChunks()[i+1]
			kind, id := int(next.GetFirstKind()), next.GetFirstId()
			n = sort.Search(len(all), func(j int) bool {
				k := number[all[j].Kind]
				return k > kind || k == kind && all[j].ID >= id
			})
		}
		part := all[:n:n]
		all = all[n:]
		if len(part) > 0 && checksum(part, must) == string(first.GetChecksum()) {
			out[string(first.GetChecksum())] = part
		}
	}
	return out
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// checksum is that of a chunk with those entities.
func checksum(part []config.Change, must map[string]bool) string {
	list := &configv1.ChangeList{Changes: make([]*configv1.Change, len(part))}
	for i := range part {
		p := &part[i]
		p.MustUnderstand = must[p.Kind]
		list.Changes[i] = &configv1.Change{Op: configv1.Change_OP_PUT, Kind: p.Kind, Id: p.ID, Body: p.Body, MustUnderstand: p.MustUnderstand}
	}
	raw, err := proto.Marshal(list)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return string(sum[:])
}

// keep remembers the chunks of a transfer that ends before it is complete.
func (s *session) keep() {
	if s.whole == nil || !s.whole.from.IsZero() {
		return
	}
	s.c.leftovers = leftovers{}
	for _, c := range s.whole.chunks {
		if c.there && c.sum != "" && len(s.c.leftovers) < maxLeftover {
			s.c.leftovers[c.sum] = c.changes
		}
	}
}
