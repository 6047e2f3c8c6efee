package balancer

import "container/heap"

// turns hands out places one by one: always to whom the next of its places, were they
// spread evenly over the round, is the earliest.
type turns struct {
	list []turn
}

type turn struct {
	index  uint16
	taken  uint64
	places uint64 // in a round
}

func newTurns(list []*address, divisor uint64) *turns {
	t := &turns{list: make([]turn, len(list))}
	for i, a := range list {
		t.list[i] = turn{index: uint16(i), places: uint64(a.weight) / divisor} //nolint:gosec // bounded by the caller
	}
	heap.Init(t)
	return t
}

func (t *turns) next() uint16 {
	first := &t.list[0]
	index := first.index
	first.taken++
	heap.Fix(t, 0)
	return index
}

// Len implements heap.Interface.
func (t *turns) Len() int { return len(t.list) }

// Less compares the middles of the next places: (taken + 1/2) / places.
func (t *turns) Less(i, j int) bool {
	a, b := &t.list[i], &t.list[j]
	left, right := (2*a.taken+1)*b.places, (2*b.taken+1)*a.places
	if left != right {
		return left < right
	}
	return a.index < b.index
}

// Swap implements heap.Interface.
func (t *turns) Swap(i, j int) { t.list[i], t.list[j] = t.list[j], t.list[i] }

// Push implements heap.Interface; nothing is pushed.
func (t *turns) Push(any) {}

// Pop implements heap.Interface; nothing is popped.
func (t *turns) Pop() any { return nil }
