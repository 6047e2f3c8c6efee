package traffic

import (
	"encoding/binary"
	"slices"

	"github.com/sluice-gateway/sluice/shared/sketch"
)

// A cell in a slot is the number of its key, the length of the rest, and the rest: how
// many statuses, then each with its count; bytes in and out, errors; and three sketches:
// how many buckets, then each as the buckets skipped and its count.

func appendCell(b []byte, key uint32, c *Cell) []byte {
	var space [1024]byte
	rest := appendCounts(space[:0], c.Statuses, false)
	rest = binary.AppendUvarint(rest, c.BytesIn)
	rest = binary.AppendUvarint(rest, c.BytesOut)
	rest = binary.AppendUvarint(rest, c.UpstreamErrs)
	for _, list := range [][]Count{c.Total, c.Upstream, c.Gateway} {
		rest = appendCounts(rest, list, true)
	}
	return appendRaw(b, key, rest)
}

func appendRaw(b []byte, key uint32, rest []byte) []byte {
	b = binary.AppendUvarint(b, uint64(key))
	b = binary.AppendUvarint(b, uint64(len(rest)))
	return append(b, rest...)
}

func appendCounts(b []byte, list []Count, gaps bool) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	next := uint32(0)
	for _, c := range list {
		b = binary.AppendUvarint(b, uint64(c.Of-next))
		b = binary.AppendUvarint(b, uint64(c.N))
		if gaps {
			next = c.Of + 1
		}
	}
	return b
}

// each calls fn for all cells of a slot. The bytes are the store's own: what is read is
// what was written.
func each(cells []byte, fn func(key uint32, rest []byte)) {
	for len(cells) > 0 {
		key, n := binary.Uvarint(cells)
		length, m := binary.Uvarint(cells[n:])
		from := n + m
		to := from + int(length)        //nolint:gosec // as it was written
		fn(uint32(key), cells[from:to]) //nolint:gosec // as it was written
		cells = cells[to:]
	}
}

// decode reads the rest of a cell into c, whose lists are used again.
func decode(rest []byte, c *Cell) {
	next := func() uint64 {
		v, n := binary.Uvarint(rest)
		rest = rest[n:]
		return v
	}
	list := func(out []Count, gaps bool) []Count {
		out = out[:0]
		at := uint64(0)
		for n := next(); n > 0; n-- {
			of := next()
			if gaps {
				at += of
				of = at
				at++
			}
			out = append(out, Count{uint32(of), uint32(next())}) //nolint:gosec // as it was written
		}
		return out
	}
	c.Statuses = list(c.Statuses, false)
	c.BytesIn, c.BytesOut, c.UpstreamErrs = next(), next(), next()
	c.Total, c.Upstream, c.Gateway = list(c.Total, true), list(c.Upstream, true), list(c.Gateway, true)
}

// requestsOf reads how many requests a cell has.
func requestsOf(rest []byte) (requests uint64) {
	number, n := binary.Uvarint(rest)
	for at := n; number > 0; number-- {
		_, n = binary.Uvarint(rest[at:])
		at += n
		v, n := binary.Uvarint(rest[at:])
		at += n
		requests += v
	}
	return requests
}

// sum adds cells up.
type sum struct {
	requests              uint64
	statuses              [1000]uint64
	in, out, errors       uint64
	total, upstream, gate sketch.Counts
}

func (s *sum) add(c *Cell) {
	for _, v := range c.Statuses {
		s.statuses[v.Of] += uint64(v.N)
		s.requests += uint64(v.N)
	}
	s.in += c.BytesIn
	s.out += c.BytesOut
	s.errors += c.UpstreamErrs
	for _, v := range c.Total {
		s.total[v.Of] += uint64(v.N)
	}
	for _, v := range c.Upstream {
		s.upstream[v.Of] += uint64(v.N)
	}
	for _, v := range c.Gateway {
		s.gate[v.Of] += uint64(v.N)
	}
}

// class is how many answers had a status of a class from 1 to 5.
func (s *sum) class(n int) (count uint64) {
	for _, v := range s.statuses[n*100 : n*100+100] {
		count += v
	}
	return count + s.statuses[n]
}

// cell makes a cell of a sum.
func (s *sum) cell() *Cell {
	return &Cell{
		Statuses: counts(s.statuses[:]), BytesIn: s.in, BytesOut: s.out, UpstreamErrs: s.errors,
		Total: counts(s.total[:]), Upstream: counts(s.upstream[:]), Gateway: counts(s.gate[:]),
	}
}

func counts(in []uint64) (out []Count) {
	for i, n := range in {
		if n > 0 {
			out = append(out, Count{uint32(i), uint32(min(n, 1<<32-1))}) //nolint:gosec // below 1000
		}
	}
	return out
}

// merge adds slots up: one cell for each key.
func merge(parts []*slot) *slot {
	out := &slot{}
	cells := map[uint32][][]byte{}
	var order []uint32
	for _, p := range parts {
		out.lost += p.lost
		each(p.cells, func(key uint32, rest []byte) {
			if cells[key] == nil {
				order = append(order, key)
			}
			cells[key] = append(cells[key], rest)
		})
	}
	var whole sum
	var c Cell
	for _, key := range order {
		list := cells[key]
		if len(list) == 1 {
			out.cells = appendRaw(out.cells, key, list[0])
			continue
		}
		whole = sum{}
		for _, rest := range list {
			decode(rest, &c)
			whole.add(&c)
		}
		out.cells = appendCell(out.cells, key, whole.cell())
	}
	out.cells = slices.Clip(append([]byte(nil), out.cells...))
	return out
}
