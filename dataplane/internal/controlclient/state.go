package controlclient

import (
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// Errors that make the node ask for a repair.
var (
	errStart = errors.New("frame does not start at the position that is served")
	errRoot  = errors.New("entities have another root than the position says")
)

type key struct{ kind, id string }

// state is what the node serves: a position, and the hash of each entity to prove it.
type state struct {
	position config.Position
	tree     *roothash.Tree
	hashes   map[key]roothash.Hash
	// undo is what commit would have to take back; see next.
	pending []pending
}

type pending struct {
	key    key
	hash   roothash.Hash
	remove bool
}

func newState() *state {
	return &state{tree: roothash.New(), hashes: map[key]roothash.Hash{}}
}

// next returns the state after u, or why there is none. A delta shares the hashes with s:
// they are changed by commit, after which s must not be used. Deletes of what is not
// there and repeated entities are taken out of u.
func (s *state) next(u *config.Update) (*state, error) {
	if u.Whole {
		return s.whole(u)
	}
	if u.From != s.position {
		return nil, fmt.Errorf("%w: it starts at %s, served is %s", errStart, u.From, s.position)
	}
	n := &state{position: u.To, tree: s.tree.Clone(), hashes: s.hashes, pending: make([]pending, 0, len(u.Changes))}
	kept := u.Changes[:0:0]
	for _, c := range u.Changes {
		k := key{c.Kind, c.ID}
		before, there := s.hashes[k]
		switch {
		case c.Op == config.Delete && !there:
			continue // made and removed since
		case c.Op == config.Delete:
			n.tree.Remove(c.Kind, c.ID, before)
			n.pending = append(n.pending, pending{key: k, remove: true})
		default:
			h := roothash.Entity(c.Kind, c.ID, c.Body)
			if there {
				n.tree.Exchange(c.Kind, c.ID, before, h)
			} else {
				n.tree.Add(c.Kind, c.ID, h)
			}
			n.pending = append(n.pending, pending{key: k, hash: h})
		}
		kept = append(kept, c)
	}
	u.Changes = kept
	return n, n.check()
}

func (s *state) whole(u *config.Update) (*state, error) {
	n := &state{position: u.To, tree: roothash.New(), hashes: make(map[key]roothash.Hash, len(u.Changes))}
	for _, c := range u.Changes {
		k := key{c.Kind, c.ID}
		if _, twice := n.hashes[k]; twice || c.Op != config.Put {
			return nil, fmt.Errorf("%w: %s %s is there twice or removed", errRoot, c.Kind, c.ID)
		}
		h := roothash.Entity(c.Kind, c.ID, c.Body)
		n.hashes[k] = h
		n.tree.Add(c.Kind, c.ID, h)
	}
	return n, n.check()
}

func (s *state) check() error {
	if root := s.tree.Root(); root != s.position.Root {
		return fmt.Errorf("%w: %s instead of %s", errRoot, root, s.position.Root)
	}
	return nil
}

// commit makes the hashes those of the state.
func (s *state) commit() {
	for _, p := range s.pending {
		if p.remove {
			delete(s.hashes, p.key)
		} else {
			s.hashes[p.key] = p.hash
		}
	}
	s.pending = nil
}

// losing tells how many entities of s a whole update does not have.
func (s *state) losing(n *state) int {
	lost := 0
	for k := range s.hashes {
		if _, ok := n.hashes[k]; !ok {
			lost++
		}
	}
	return lost
}
