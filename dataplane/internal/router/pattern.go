package router

import (
	"sync/atomic"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// pattern is a regular expression of a path. One that is simple is walked, and its engine
// is made when a path with characters beyond ASCII first asks for it: engines are what
// takes the most memory of a route.
type pattern struct {
	source string
	names  []string
	simple *simple
	engine atomic.Pointer[schema.Regex]
}

func newPattern(source string) (*pattern, error) {
	regex, err := schema.CompileRegex(source)
	if err != nil {
		return nil, err //nolint:wrapcheck // its words are PCRE's
	}
	p := &pattern{source: source, names: regex.Names(), simple: newSimple(source)}
	if p.simple == nil {
		p.engine.Store(regex)
	}
	return p, nil
}

// regex returns the engine.
func (p *pattern) regex() *schema.Regex {
	if r := p.engine.Load(); r != nil {
		return r
	}
	r, err := schema.CompileRegex(p.source)
	if err != nil {
		panic("a pattern that compiled does not: " + p.source)
	}
	p.engine.Store(r)
	return r
}

func (p *pattern) match(q *Request) bool {
	if p.simple != nil {
		if ok, sure := p.simple.match(q.Path, nil); sure {
			return ok
		}
	}
	return q.MatchRegex(p.regex(), q.Path)
}

// find returns the offsets of the match and its groups, as regexp.FindStringSubmatchIndex
// does, if it can in the memory of m.
func (p *pattern) find(path string, m *Match) []int {
	if p.simple != nil {
		m.offsets = m.offsets[:0]
		for range 2 * len(p.names) {
			m.offsets = append(m.offsets, -1)
		}
		if ok, sure := p.simple.match(path, m.offsets); sure && ok {
			return m.offsets
		}
	}
	return p.regex().Find(path)
}
