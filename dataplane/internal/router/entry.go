package router

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
)

type hostKind uint8

const (
	hostAny hostKind = iota
	hostExact
	hostSuffix
	hostPrefix
)

// compiled is a route ready to match.
type compiled struct {
	entity *entity.Route
	// conditions besides host and path; nil has none.
	conditions *conditions
	entries    []*entry
	slot       uint32
}

// entry is one path of a route under one of its hosts, or one anchor of its expression.
// Few routes have more than one, so it is kept small.
type entry struct {
	// What most matches read comes first, in one cache line.
	priority uint64
	// key is where it stands in the tree, for a plain path all that it matches.
	key    string
	entity *entity.Route // the route's
	// special is nil for a plain path.
	special *special
	route   *compiled
	// slot is the route's.
	slot uint32
	// segments is set for "=/foo".
	segments bool
	// checked is set when there is anything to look at besides host, path and segments.
	checked  bool
	hostKind hostKind
	// form is how an index has it: by text, or by the header of that number.
	form form
	// tie breaks ties between routes, the larger first; index, the path's place in the
	// route, those inside of one, the smaller first.
	tie   tie
	index uint16
	// port is the host's, 0 for any.
	port   uint16
	header uint8
	text   [textSize]byte
	// host is the name of the tree.
	host string

	_ [24]byte // objects of 128 bytes begin with a cache line
}

// special is what few entries have.
type special struct {
	// shown is the path as it was written, when it differs from the key.
	shown string
	regex *pattern
	// texts are pieces that the path must have behind the key for regex to match.
	texts   []string
	program *expression.Program
}

// tie is an order of routes.
type tie struct{ high, low uint64 }

// tieOf reads an id. Ids that are no UUID compare as text does, as far as it fits.
func tieOf(id string) tie {
	var b [16]byte
	if len(id) == 36 {
		if u, err := uuid.Parse(id); err == nil {
			b = u
			return tie{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
		}
	}
	if plain := strings.ReplaceAll(id, "-", ""); len(plain) == 32 {
		if _, err := hex.Decode(b[:], []byte(plain)); err == nil {
			return tie{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
		}
	}
	copy(b[:], id)
	return tie{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// compare orders entries, those with precedence first.
func (e *entry) compare(o *entry) int {
	if e.priority != o.priority {
		return cmp.Compare(o.priority, e.priority)
	}
	if e.segments != o.segments {
		if e.segments {
			return -1
		}
		return 1
	}
	if e.tie != o.tie {
		if e.tie.high != o.tie.high {
			return cmp.Compare(o.tie.high, e.tie.high)
		}
		return cmp.Compare(o.tie.low, e.tie.low)
	}
	return cmp.Compare(e.index, o.index)
}

// before tells whether e has precedence over o.
func (e *entry) before(o *entry) bool {
	if e.priority != o.priority {
		return e.priority > o.priority
	}
	return e.compare(o) < 0
}

// holds tells whether everything but the path's key and the host's name matches. rest
// is the path behind the key.
func (e *entry) holds(q *Request, rest string) bool {
	if e.segments && rest != "" && rest[0] != '/' && !strings.HasSuffix(e.key, "/") {
		return false
	}
	if !e.checked {
		return true
	}
	if c := e.route.conditions; c != nil && !c.hold(q, e) {
		return false
	}
	if s := e.special; s != nil {
		switch {
		case s.program != nil:
			return s.program.Match(&q.Request)
		case s.regex != nil:
			return s.regex.match(q)
		}
	}
	return true
}

// filed says how an index files the entry.
func (e *entry) filed() form {
	if e.special != nil && len(e.special.texts) > 0 {
		return formText
	}
	switch c := e.route.conditions; {
	case c == nil:
	case slices.ContainsFunc(c.headers[:min(len(c.headers), 1<<8)], func(h headerCondition) bool { return h.fileable() }):
		return formHeader
	case len(c.snis) > 0 && c.plainSNIs:
		return formSNI
	case len(c.methods) > 0:
		return formMethod
	}
	return formRest
}
