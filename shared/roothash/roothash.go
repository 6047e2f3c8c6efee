// Package roothash keeps the hash over all entities that makes a position
// provable. Both planes compute it with the same code: the control plane in the
// transaction of a change, a node before it swaps a configuration in.
//
// Each entity has a SHA-256 over its kind, id and body, each with its length in
// front. The entities are spread over Buckets buckets by kind and id. A bucket is
// the sum of its entities' hashes, taken as four 64-bit lanes that wrap around, so
// that adding and removing cost the same and order does not matter. The root is a
// SHA-256 over the sum of all buckets and the number of entities. Two planes whose
// roots differ compare buckets to find what differs.
//
// The sum finds every accident. It does not resist somebody who may write any
// number of entities and looks for two configurations with one root: those who
// write entities decide what is served anyway.
package roothash

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// Size of a root and of an entity hash in bytes.
const Size = 32

// Buckets is how many buckets a Tree has. It is part of the protocol.
const Buckets = 1024

// Root is a hash over a set of entities.
type Root [Size]byte

// String returns the root in hex.
func (r Root) String() string { return hex.EncodeToString(r[:]) }

// IsZero tells whether the root was never set. No set of entities, the empty one
// included, has the zero root.
func (r Root) IsZero() bool { return r == Root{} }

// RootFrom makes a root of Size bytes as they came over a wire.
func RootFrom(b []byte) (Root, error) {
	var r Root
	if len(b) != Size {
		return r, fmt.Errorf("root has %d bytes, want %d", len(b), Size)
	}
	copy(r[:], b)
	return r, nil
}

// Hash is the hash of one entity.
type Hash [Size]byte

// Entity returns the hash of an entity.
func Entity(kind, id string, body []byte) Hash {
	var space [1024]byte
	b := space[:0]
	b = binary.AppendUvarint(b, uint64(len(kind)))
	b = append(b, kind...)
	b = binary.AppendUvarint(b, uint64(len(id)))
	b = append(b, id...)
	b = binary.AppendUvarint(b, uint64(len(body)))
	if len(b)+len(body) <= cap(b) {
		return sha256.Sum256(append(b, body...))
	}
	h := sha256.New()
	h.Write(b)
	h.Write(body)
	var sum Hash
	h.Sum(sum[:0])
	return sum
}

// Short returns the part of the hash that bucket hashes are the sums of.
func (h *Hash) Short() uint64 { return binary.LittleEndian.Uint64(h[:]) }

// BucketOf returns the bucket of an entity.
func BucketOf(kind, id string) int {
	// FNV-1a with 64 bits, folded: cheap, and the same on every machine.
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := 0; i < len(kind); i++ {
		h = (h ^ uint64(kind[i])) * prime
	}
	h = (h ^ 0xff) * prime
	for i := 0; i < len(id); i++ {
		h = (h ^ uint64(id[i])) * prime
	}
	h ^= h >> 32
	return int((h ^ h>>16) % Buckets)
}

// lanes is a sum of entity hashes.
type lanes [Size / 8]uint64

func (l *lanes) add(h *Hash) {
	for i := range l {
		l[i] += binary.LittleEndian.Uint64(h[i*8:])
	}
}

func (l *lanes) sub(h *Hash) {
	for i := range l {
		l[i] -= binary.LittleEndian.Uint64(h[i*8:])
	}
}

func (l *lanes) append(b []byte) []byte {
	for _, v := range l {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func (l *lanes) set(b []byte) {
	for i := range l {
		l[i] = binary.LittleEndian.Uint64(b[i*8:])
	}
}

// Tree is the incremental hash over a set of entities. It does not know which
// entities it holds: removing one that was never put gives a root that nothing
// has. It is not safe for concurrent use.
type Tree struct {
	total   lanes
	count   uint64
	buckets [Buckets]lanes
}

// New returns the tree of the empty set.
func New() *Tree { return &Tree{} }

// Put adds an entity that is not in the set.
func (t *Tree) Put(kind, id string, body []byte) { t.Add(kind, id, Entity(kind, id, body)) }

// Delete removes an entity; body is the one that was put.
func (t *Tree) Delete(kind, id string, body []byte) { t.Remove(kind, id, Entity(kind, id, body)) }

// Replace changes the body of an entity.
func (t *Tree) Replace(kind, id string, before, after []byte) {
	t.Exchange(kind, id, Entity(kind, id, before), Entity(kind, id, after))
}

// Add adds an entity that is not in the set by its hash.
func (t *Tree) Add(kind, id string, h Hash) {
	t.total.add(&h)
	t.buckets[BucketOf(kind, id)].add(&h)
	t.count++
}

// Remove removes an entity by the hash that it was added with.
func (t *Tree) Remove(kind, id string, h Hash) {
	t.total.sub(&h)
	t.buckets[BucketOf(kind, id)].sub(&h)
	t.count--
}

// Exchange changes the hash of an entity.
func (t *Tree) Exchange(kind, id string, before, after Hash) {
	b := &t.buckets[BucketOf(kind, id)]
	t.total.sub(&before)
	t.total.add(&after)
	b.sub(&before)
	b.add(&after)
}

// Count returns the number of entities.
func (t *Tree) Count() int { return int(t.count) }

// Root returns the root. It costs one SHA-256 over 48 bytes.
func (t *Tree) Root() Root {
	var space [64]byte
	b := append(space[:0], "sluice-1"...)
	b = binary.LittleEndian.AppendUint64(b, t.count)
	return sha256.Sum256(t.total.append(b))
}

// BucketHash is enough of a bucket's sum to tell whether two buckets are equal: the sum,
// wrapped around, of the short hashes of its entities.
type BucketHash uint64

// BucketHashes returns a short hash of each bucket, for comparing with another tree.
func (t *Tree) BucketHashes() []BucketHash {
	hashes := make([]BucketHash, Buckets)
	for i := range t.buckets {
		// The hashes that are summed are uniform: one lane is as good as any mix.
		hashes[i] = BucketHash(t.buckets[i][0])
	}
	return hashes
}

// Clone returns a copy.
func (t *Tree) Clone() *Tree {
	c := *t
	return &c
}

// BucketSize is the length of Bucket's result.
const BucketSize = Size

// Bucket appends the sum of bucket i to dst, so that a store can keep the buckets
// that a transaction touched instead of the whole tree.
func (t *Tree) Bucket(dst []byte, i int) []byte { return t.buckets[i].append(dst) }

// SetBucket replaces the sum of bucket i by one that Bucket returned. The number
// of entities is not part of it, see SetCount.
func (t *Tree) SetBucket(i int, sum []byte) error {
	if len(sum) != BucketSize {
		return fmt.Errorf("bucket %d has %d bytes, want %d", i, len(sum), BucketSize)
	}
	var now lanes
	now.set(sum)
	for lane := range t.total {
		t.total[lane] += now[lane] - t.buckets[i][lane]
	}
	t.buckets[i] = now
	return nil
}

// SetCount sets the number of entities of a tree that is put together with SetBucket.
func (t *Tree) SetCount(n int) { t.count = uint64(n) }

const (
	marshalMagic = "SLRH\x01"
	marshalSize  = len(marshalMagic) + 8 + Buckets*BucketSize
)

// ErrFormat means that bytes are not a marshalled tree.
var ErrFormat = errors.New("not a root hash tree")

// MarshalBinary implements encoding.BinaryMarshaler.
func (t *Tree) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, marshalSize)
	b = append(b, marshalMagic...)
	b = binary.LittleEndian.AppendUint64(b, t.count)
	for i := range t.buckets {
		b = t.buckets[i].append(b)
	}
	return b, nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (t *Tree) UnmarshalBinary(b []byte) error {
	if len(b) != marshalSize || string(b[:len(marshalMagic)]) != marshalMagic {
		return ErrFormat
	}
	b = b[len(marshalMagic):]
	*t = Tree{count: binary.LittleEndian.Uint64(b)}
	b = b[8:]
	for i := range t.buckets {
		t.buckets[i].set(b[i*BucketSize:])
		for lane := range t.total {
			t.total[lane] += t.buckets[i][lane]
		}
	}
	return nil
}
