package luapattern

import "strings"

type matcher struct {
	p          *Pattern
	s          string
	steps      int
	start, end [maxCaptures + 1]int
}

// match returns where a match of the items from index i on ends when it starts at
// si, or -1.
func (m *matcher) match(si, i int) int {
	items := m.p.items
	for ; i < len(items); i++ {
		if m.steps--; m.steps <= 0 {
			return -1
		}
		it := &items[i]
		switch it.kind {
		case openGroup:
			saved := m.start[it.a]
			m.start[it.a] = si
			if e := m.match(si, i+1); e >= 0 {
				return e
			}
			m.start[it.a] = saved
			return -1
		case closeGroup:
			saved := m.end[it.a]
			m.end[it.a] = si
			if e := m.match(si, i+1); e >= 0 {
				return e
			}
			m.end[it.a] = saved
			return -1
		case position:
			m.start[it.a], m.end[it.a] = si, si
		case backRef:
			text := m.s[m.start[it.a]:m.end[it.a]]
			if !strings.HasPrefix(m.s[si:], text) {
				return -1
			}
			si += len(text)
		case balanced:
			if si = m.balanced(si, it.a, it.b); si < 0 {
				return -1
			}
		case frontier:
			var before, after byte
			if si > 0 {
				before = m.s[si-1]
			}
			if si < len(m.s) {
				after = m.s[si]
			}
			if has(it.set, before) || !has(it.set, after) {
				return -1
			}
		case end:
			if si != len(m.s) {
				return -1
			}
		case single:
			if it.quant != 0 {
				return m.repeat(si, i)
			}
			if si >= len(m.s) || !has(it.set, m.s[si]) {
				return -1
			}
			si++
		}
	}
	return si
}

func (m *matcher) repeat(si, i int) int {
	it := &m.p.items[i]
	if it.quant == '-' {
		for {
			if e := m.match(si, i+1); e >= 0 {
				return e
			}
			if m.steps <= 0 || si >= len(m.s) || !has(it.set, m.s[si]) {
				return -1
			}
			si++
		}
	}
	low, high := si, len(m.s)
	switch it.quant {
	case '+':
		low++
	case '?':
		high = min(si+1, high)
	}
	n := si
	for n < high && has(it.set, m.s[n]) {
		n++
	}
	m.steps -= n - si
	for ; n >= low; n-- {
		if e := m.match(n, i+1); e >= 0 {
			return e
		}
		if m.steps <= 0 {
			return -1
		}
	}
	return -1
}

func (m *matcher) balanced(si int, open, closing byte) int {
	if si >= len(m.s) || m.s[si] != open {
		return -1
	}
	depth := 1
	for i := si + 1; i < len(m.s); i++ {
		m.steps--
		switch m.s[i] {
		case closing:
			if depth--; depth == 0 {
				return i + 1
			}
		case open:
			depth++
		}
	}
	return -1
}
