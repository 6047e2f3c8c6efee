package plan

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
)

// TestSlots: a change leaves what was before as it was.
func TestSlots(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var s slots
	want := map[uint32]*Route{}
	for range 300 {
		before, at := s, uint32(random.IntN(2000))
		was := before.get(at)
		edit := s.edit()
		for range 1 + random.IntN(5) {
			slot, r := uint32(random.IntN(2000)), &Route{}
			if random.IntN(3) == 0 {
				r = nil
			}
			edit.set(slot, r)
			want[slot] = r
		}
		s = edit.done()
		for slot := range uint32(2100) {
			if got := s.get(slot); got != want[slot] {
				t.Fatalf("slot %d has %p, want %p", slot, got, want[slot])
			}
		}
		if before.get(at) != was {
			t.Fatalf("slot %d changed where it was read", at)
		}
	}
}

// TestSlotsOfRoutes: whatever comes and goes, a slot has one route, and routes that leave
// make room.
func TestSlotsOfRoutes(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	table, there := router.New(""), map[string]bool{}
	for range 500 {
		var put []*entity.Route
		var removed []string
		used := map[string]bool{}
		for range 1 + random.IntN(4) {
			id := fmt.Sprintf("%04d", random.IntN(50))
			if used[id] {
				continue
			}
			used[id] = true
			if random.IntN(2) == 0 {
				put, there[id] = append(put, &entity.Route{ID: id, Paths: []string{"/" + id}}), true
			} else {
				removed, there[id] = append(removed, id), false
			}
		}
		table, _ = table.Update(put, removed)
		owner := map[uint32]string{}
		for id, ok := range there {
			slot, found := table.Slot(id)
			if found != ok {
				t.Fatalf("%s has a slot: %v, want %v", id, found, ok)
			}
			if !ok {
				continue
			}
			if other := owner[slot]; other != "" || slot >= 60 {
				t.Fatalf("%s has slot %d, as %q", id, slot, other)
			}
			owner[slot] = id
		}
	}
}

// TestRouteSize: what a request reads of its route is one cache line.
func TestRouteSize(t *testing.T) {
	if n := unsafe.Sizeof(Route{}); n != 64 {
		t.Errorf("a route has %d bytes", n)
	}
}
