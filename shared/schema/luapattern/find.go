package luapattern

// Captures says where a match and its groups are, as byte offsets. Group 0 is the whole
// match. A position capture, "()", has Position set and its place in Start.
type Captures struct {
	Start, End [maxCaptures + 1]int
	Position   [maxCaptures + 1]bool
	// N is the number of groups, without group 0.
	N int
}

// Anchored tells whether the pattern begins with "^".
func (p *Pattern) Anchored() bool { return p.anchored }

// Find looks for the first match at or after init and fills c. steps bounds the work and
// is counted down; when it is used up there is no match and *steps is not positive.
func (p *Pattern) Find(c *Captures, s string, init int, steps *int) bool {
	m := matcher{p: p, s: s, steps: *steps}
	defer func() { *steps = m.steps }()
	for i := init; i <= len(s); i++ {
		if end := m.match(i, 0); end >= 0 {
			c.Start, c.End, c.Position, c.N = m.start, m.end, [maxCaptures + 1]bool{}, 0
			c.Start[0], c.End[0] = i, end
			for j := range p.items {
				switch it := &p.items[j]; it.kind {
				case openGroup:
					c.N = max(c.N, int(it.a))
				case position:
					c.N = max(c.N, int(it.a))
					c.Position[it.a] = true
				}
			}
			return true
		}
		if p.anchored || m.steps <= 0 {
			return false
		}
	}
	return false
}
