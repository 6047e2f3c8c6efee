package catalog

import (
	"crypto/sha256"

	"github.com/google/uuid"
)

// names find declared entities of one kind by what is unique of them. There may be millions,
// so that texts are kept as hashes, of which two are never equal by accident, and ids as the
// numbers that they are.
type names struct {
	at  map[nameHash]uint32
	ids []uuid.UUID
	// odd ids are no UUIDs in their usual form.
	odd map[int]string
}

type nameHash [16]byte

const (
	// taken is set for the values of an entity that was processed, reserved for the id of one
	// that will be.
	taken    = 1 << 31
	reserved = 1 << 30
	// beside stands for an entity that is not in the document.
	beside = reserved - 1
)

func newNames(n int) *names {
	return &names{at: make(map[nameHash]uint32, 2*n), ids: make([]uuid.UUID, n)}
}

func hashOf(field, value string) nameHash {
	var space [128]byte
	b := append(append(append(space[:0], field...), 0), value...)
	sum := sha256.Sum256(b)
	return nameHash(sum[:16])
}

// id returns the id of an entity by its place in the document, "" when it has none.
func (n *names) id(i int) string {
	if odd, ok := n.odd[i]; ok {
		return odd
	}
	if i >= len(n.ids) || n.ids[i] == (uuid.UUID{}) {
		return ""
	}
	return n.ids[i].String()
}

func (n *names) setID(i int, id string) {
	n.set("", id, i)
	if u, err := uuid.Parse(id); err == nil && u != (uuid.UUID{}) && u.String() == id {
		n.ids[i] = u
		return
	}
	if n.odd == nil {
		n.odd = map[int]string{}
	}
	n.odd[i] = id
}

// set notes the value of an entity by which references may find it.
func (n *names) set(field, value string, i int) { n.at[hashOf(field, value)] = uint32(i) }

// find returns the id of the entity with a value.
func (n *names) find(field, value string) (id string, ok bool) {
	i, ok := n.at[hashOf(field, value)]
	if i &= beside; !ok || i == beside {
		return "", false
	}
	id = n.id(int(i))
	return id, id != ""
}

func (n *names) hasID(id string) bool {
	_, ok := n.at[hashOf("", id)]
	return ok
}

// made tells whether an entity with that id was processed.
func (n *names) made(id string) bool { return n.at[hashOf("", id)]&taken != 0 }

// reserve keeps an id for an entity that has none, unless another one has it.
func (n *names) reserve(id string) bool {
	h := hashOf("", id)
	if _, has := n.at[h]; has {
		return false
	}
	n.at[h] = beside | reserved
	return true
}

// take notes the value of a processed entity, and tells whether one had it before.
func (n *names) take(field, value string) (twice bool) {
	h := hashOf(field, value)
	i, ok := n.at[h]
	if !ok {
		i = beside
	}
	n.at[h] = i | taken
	return i&taken != 0
}
