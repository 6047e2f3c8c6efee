package controlclient

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// Errors that make the node ask for a repair.
var (
	errStart = errors.New("frame does not start at the position that is served")
	errRoot  = errors.New("entities have another root than the position says")
)

type key struct{ kind, id string }

// entry is an entity that the node has. Kinds that it does not know are among them.
type entry struct {
	hash roothash.Hash
	body []byte
	must bool
	// mark is what the Inspector said of what is served of it, 0 when it was not asked.
	mark uint64
}

func (e *entry) change(k key) config.Change {
	return config.Change{Op: config.Put, Kind: k.kind, ID: k.id, Body: e.body, MustUnderstand: e.must}
}

// state is what the node serves: a position, and the entities that prove it, by bucket.
type state struct {
	position config.Position
	tree     *roothash.Tree
	buckets  *[roothash.Buckets]map[key]entry
	// sequence counts what was committed.
	sequence uint64
	// pending is what commit brings into the buckets, which a delta shares with the state
	// before.
	pending []pending
}

type pending struct {
	key    key
	entry  entry
	remove bool
}

func newState() *state {
	return &state{tree: roothash.New(), buckets: &[roothash.Buckets]map[key]entry{}}
}

func (s *state) get(k key) (entry, bool) {
	e, ok := s.buckets[roothash.BucketOf(k.kind, k.id)][k]
	return e, ok
}

func (s *state) set(k key, e entry) {
	b := &s.buckets[roothash.BucketOf(k.kind, k.id)]
	if *b == nil {
		*b = map[key]entry{}
	}
	(*b)[k] = e
}

// count returns the number of entities.
func (s *state) count() int { return s.tree.Count() }

// next returns the state after u, or why there is none. The entities of a delta are
// brought in by commit, after which s must not be used. Deletes of what is not there and
// repeated entities are taken out of u.
func (s *state) next(u *config.Update) (*state, error) {
	if u.Whole {
		return s.whole(u)
	}
	if u.From != s.position {
		return nil, fmt.Errorf("%w: it starts at %s, served is %s", errStart, u.From, s.position)
	}
	n := &state{position: u.To, tree: s.tree.Clone(), buckets: s.buckets, sequence: s.sequence + 1, pending: make([]pending, 0, len(u.Changes))}
	kept := u.Changes[:0:0]
	for _, c := range u.Changes {
		k := key{c.Kind, c.ID}
		before, there := s.get(k)
		switch {
		case c.Op == config.Delete && !there:
			continue // made and removed since
		case c.Op == config.Delete:
			n.tree.Remove(c.Kind, c.ID, before.hash)
			n.pending = append(n.pending, pending{key: k, remove: true})
		default:
			e := entry{hash: roothash.Entity(c.Kind, c.ID, c.Body), body: c.Body, must: c.MustUnderstand}
			if there {
				n.tree.Exchange(c.Kind, c.ID, before.hash, e.hash)
			} else {
				n.tree.Add(c.Kind, c.ID, e.hash)
			}
			n.pending = append(n.pending, pending{key: k, entry: e})
		}
		kept = append(kept, c)
	}
	u.Changes = kept
	return n, n.check()
}

func (s *state) whole(u *config.Update) (*state, error) {
	n := newState()
	n.position, n.sequence = u.To, s.sequence+1
	for i := range n.buckets {
		n.buckets[i] = make(map[key]entry, len(u.Changes)/roothash.Buckets)
	}
	hashes := hashAll(u.Changes)
	for i := range u.Changes {
		c := &u.Changes[i]
		b := n.buckets[roothash.BucketOf(c.Kind, c.ID)]
		before := len(b)
		b[key{c.Kind, c.ID}] = entry{hash: hashes[i], body: c.Body, must: c.MustUnderstand}
		if len(b) == before || c.Op != config.Put {
			return nil, fmt.Errorf("%w: %s %s is there twice or removed", errRoot, c.Kind, c.ID)
		}
		n.tree.Add(c.Kind, c.ID, hashes[i])
	}
	return n, n.check()
}

// portion is how many entities are hashed by one goroutine at a time.
const portion = 1024

// hashAll computes the hashes of entities, in parallel when there are many.
func hashAll(changes []config.Change) []roothash.Hash {
	out := make([]roothash.Hash, len(changes))
	var next atomic.Int64
	var work sync.WaitGroup
	one := func() {
		for {
			from := int(next.Add(portion)) - portion
			if from >= len(changes) {
				return
			}
			for i := from; i < min(from+portion, len(changes)); i++ {
				out[i] = roothash.Entity(changes[i].Kind, changes[i].ID, changes[i].Body)
			}
		}
	}
	for range min(runtime.GOMAXPROCS(0)-1, len(changes)/portion) {
		work.Go(one)
	}
	one()
	work.Wait()
	return out
}

func (s *state) check() error {
	if root := s.tree.Root(); root != s.position.Root {
		return fmt.Errorf("%w: %s instead of %s", errRoot, root, s.position.Root)
	}
	return nil
}

// commit makes the entities those of the state.
func (s *state) commit() {
	for _, p := range s.pending {
		if p.remove {
			delete(s.buckets[roothash.BucketOf(p.key.kind, p.key.id)], p.key)
		} else {
			s.set(p.key, p.entry)
		}
	}
	s.pending = nil
}

// losing tells how many entities of s a whole update does not have.
func (s *state) losing(n *state) int {
	lost := 0
	for _, b := range s.buckets {
		for k := range b {
			if _, ok := n.get(k); !ok {
				lost++
			}
		}
	}
	return lost
}

// all returns the entities as a whole configuration.
func (s *state) all() []config.Change {
	out := make([]config.Change, 0, s.count())
	for _, b := range s.buckets {
		for k, e := range b {
			out = append(out, e.change(k))
		}
	}
	return out
}

// prove computes a bucket's hashes anew from the bytes that are there, and returns the
// entities that were not what they should be; whole is false when something is missing or
// too much. The position's root is that of what is there afterwards. now is an empty tree
// to work with, which is empty again afterwards.
func (s *state) prove(number int, now *roothash.Tree) (wrong []key, whole bool) {
	b := s.buckets[number]
	before := s.tree.Bucket(nil, number)
	for k, e := range b {
		h := roothash.Entity(k.kind, k.id, e.body)
		if h != e.hash {
			wrong = append(wrong, k)
			e.hash = h
			b[k] = e
		}
		now.Add(k.kind, k.id, h)
	}
	sum := now.Bucket(nil, number)
	_ = now.SetBucket(number, make([]byte, roothash.BucketSize)) // it has the right length
	if whole = bytes.Equal(before, sum); whole && len(wrong) == 0 {
		return nil, true
	}
	_ = s.tree.SetBucket(number, sum) // it has the right length
	n := 0
	for _, b := range s.buckets {
		n += len(b)
	}
	s.tree.SetCount(n)
	s.position.Root = s.tree.Root()
	return wrong, whole
}

// proveAll does so for all buckets.
func (s *state) proveAll() (wrong int) {
	now := roothash.New()
	for number := range s.buckets {
		keys, whole := s.prove(number, now)
		if wrong += len(keys); !whole && len(keys) == 0 {
			wrong++
		}
	}
	return wrong
}
