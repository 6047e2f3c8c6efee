package expression

import (
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// HostKind says how the host of an anchor is compared.
type HostKind uint8

// Kinds of hosts.
const (
	AnyHost    HostKind = iota
	ExactHost           // example.com
	HostSuffix          // .example.com
	HostPrefix          // example.
)

// Anchor is what a request that matches has at least: its host, and the start of its
// path. The zero value asks nothing.
type Anchor struct {
	Kind HostKind
	Host string
	Path string
}

// Limits of what Anchors looks at, so that a program of many alternatives is filed in
// few places or else everywhere.
const (
	maxAnchors = 4096
	maxProduct = 256
)

// Anchors returns places such that each request that matches the program has one of
// them at least. A program that may match anything has the zero anchor alone.
func (p *Program) Anchors() []Anchor { return p.root.anchors() }

func everywhere() []Anchor { return make([]Anchor, 1) }

func (n *node) anchors() []Anchor {
	switch n.kind {
	case nodePredicate:
		return []Anchor{n.anchor()}
	case nodeOr:
		var out []Anchor
		for i := range n.nodes {
			list := n.nodes[i].anchors()
			if list[0] == (Anchor{}) || len(out)+len(list) > maxAnchors {
				return everywhere()
			}
			out = append(out, list...)
		}
		return out
	case nodeAnd:
		out := everywhere()
		for i := range n.nodes {
			out = both(out, n.nodes[i].anchors())
		}
		return out
	}
	return everywhere()
}

// both are anchors of what has one of a and one of b.
func both(a, b []Anchor) []Anchor {
	switch {
	case a[0] == (Anchor{}):
		return b
	case b[0] == (Anchor{}):
		return a
	case len(a)*len(b) > maxProduct:
		if len(a) <= len(b) {
			return a
		}
		return b
	}
	out := make([]Anchor, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			z := x
			if y.Kind != AnyHost && (x.Kind == AnyHost || y.Kind < x.Kind) {
				z.Kind, z.Host = y.Kind, y.Host
			}
			if len(y.Path) > len(x.Path) {
				z.Path = y.Path
			}
			out = append(out, z)
		}
	}
	return out
}

func (p *predicate) anchor() Anchor {
	if p.lower {
		return Anchor{}
	}
	switch p.field.kind {
	case fieldHost:
		switch {
		case p.op == opEqual:
			return Anchor{Kind: ExactHost, Host: p.text}
		case p.op == opSuffix && strings.HasPrefix(p.text, ".") && len(p.text) > 1:
			return Anchor{Kind: HostSuffix, Host: p.text}
		case p.op == opPrefix && strings.HasSuffix(p.text, ".") && len(p.text) > 1:
			return Anchor{Kind: HostPrefix, Host: p.text}
		}
	case fieldPath:
		switch p.op {
		case opEqual, opPrefix:
			return Anchor{Path: p.text}
		case opRegex:
			return Anchor{Path: schema.LiteralPrefix(p.text)}
		}
	case fieldSegments:
		if p.field.from == 0 && (p.op == opEqual || p.op == opPrefix) {
			return Anchor{Path: "/" + p.text}
		}
	}
	return Anchor{}
}
