package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// errCodec means that a value in the file is not what was written there.
var errCodec = errors.New("value is malformed")

// reader takes a value apart. Its first mistake sticks.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail() {
	r.rest, r.err = nil, errCodec
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) root() roothash.Root {
	var root roothash.Root
	copy(root[:], r.take(roothash.Size))
	return root
}

func appendBytes[T string | []byte](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// head is what the store knows about itself.
type head struct {
	generation, revision uint64
	root                 roothash.Root
	// logFirst is the oldest revision whose change set is kept; one more than revision
	// when there is none. logBytes is the size of all change sets.
	logFirst, logBytes uint64
}

func (h head) encode() []byte {
	b := make([]byte, 0, 4*8+roothash.Size)
	b = binary.BigEndian.AppendUint64(b, h.generation)
	b = binary.BigEndian.AppendUint64(b, h.revision)
	b = append(b, h.root[:]...)
	b = binary.BigEndian.AppendUint64(b, h.logFirst)
	return binary.BigEndian.AppendUint64(b, h.logBytes)
}

func decodeHead(b []byte) (head, error) {
	r := reader{rest: b}
	h := head{generation: r.uint64(), revision: r.uint64(), root: r.root(), logFirst: r.uint64(), logBytes: r.uint64()}
	if r.err != nil || len(r.rest) > 0 {
		return head{}, fmt.Errorf("decode head: %w", errCodec)
	}
	return h, nil
}

// An entity's value is its number of index entries, each as flag, name and key, and
// then the body.

func encodeEntity(body []byte, indexes []store.Index) []byte {
	n := len(body) + 1
	for i := range indexes {
		n += len(indexes[i].Name) + len(indexes[i].Key) + 5
	}
	b := binary.AppendUvarint(make([]byte, 0, n), uint64(len(indexes)))
	for i := range indexes {
		flag := byte(0)
		if indexes[i].Exclusive {
			flag = 1
		}
		b = append(b, flag)
		b = appendBytes(b, indexes[i].Name)
		b = appendBytes(b, indexes[i].Key)
	}
	return append(b, body...)
}

// body returns the body in an entity's value, skipping the index entries.
func body(value []byte) ([]byte, error) {
	r := reader{rest: value}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		r.byte()
		r.bytes()
		r.bytes()
	}
	if r.err != nil {
		return nil, fmt.Errorf("decode entity: %w", r.err)
	}
	return r.rest, nil
}

func decodeEntity(value []byte) ([]byte, []store.Index, error) {
	r := reader{rest: value}
	var indexes []store.Index
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		indexes = append(indexes, store.Index{Exclusive: r.byte() == 1, Name: r.text(), Key: r.text()})
	}
	if r.err != nil {
		return nil, nil, fmt.Errorf("decode entity: %w", r.err)
	}
	return r.rest, indexes, nil
}

// changeSetVersion is the first byte of an encoded change set.
const changeSetVersion = 1

// Flags of a change set.
const (
	flagRemoval = 1 << iota
	flagOmitted
	flagReversible
)

// checksums are CRC-32C, as in the disk cache of a node.
var checksums = crc32.MakeTable(crc32.Castagnoli)

// A change set's value is its fields and, in its last four bytes, their checksum: its
// bodies are older than the entities', so no root covers them.

func encodeChangeSet(c *store.ChangeSet) []byte {
	n := 132 + len(c.Actor) + len(c.Summary)
	for i := range c.Changes {
		n += len(c.Changes[i].Kind) + len(c.Changes[i].ID) + len(c.Changes[i].Body) + len(c.Changes[i].Before) + 20
	}
	b := append(make([]byte, 0, n), changeSetVersion)
	b = binary.AppendUvarint(b, c.To.Generation)
	b = binary.AppendUvarint(b, c.From.Revision)
	b = append(b, c.From.Root[:]...)
	b = append(b, c.To.Root[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.At.UnixNano()))
	flags := byte(0)
	if c.RemovalIntended {
		flags |= flagRemoval
	}
	if c.Omitted {
		flags |= flagOmitted
	}
	if c.Reversible {
		flags |= flagReversible
	}
	b = append(b, flags)
	b = appendBytes(b, c.Actor)
	b = appendBytes(b, c.Summary)
	b = binary.AppendUvarint(b, uint64(len(c.Changes)))
	for i := range c.Changes {
		change := &c.Changes[i]
		b = append(b, byte(change.Op))
		b = appendBytes(b, change.Kind)
		b = appendBytes(b, change.ID)
		if change.Op == store.Put {
			b = appendBytes(b, change.Body)
		}
		if c.Reversible {
			b = appendBefore(b, change.Before)
		}
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, checksums))
}

// appendBefore writes what was there before: its length and one more, then itself; 0 for
// nothing.
func appendBefore(b, before []byte) []byte {
	if before == nil {
		return append(b, 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(before))+1), before...)
}

func (r *reader) before() []byte {
	n := r.uvarint()
	if n == 0 || r.err != nil {
		return nil
	}
	return r.take(n - 1)
}

// checkChangeSet compares an encoded change set with its checksum, which it cuts off.
func checkChangeSet(b []byte) ([]byte, error) {
	n := len(b) - 4
	if n < 0 || crc32.Checksum(b[:n], checksums) != binary.BigEndian.Uint32(b[n:]) {
		return nil, errCodec
	}
	return b[:n:n], nil
}

// decodeChangeSet takes a change set apart. Its bodies are views of b.
func decodeChangeSet(lineage string, b []byte) (*store.ChangeSet, error) {
	b, err := checkChangeSet(b)
	r := reader{rest: b}
	if err != nil || r.byte() != changeSetVersion {
		return nil, fmt.Errorf("decode change set: %w", errCodec)
	}
	generation, from := r.uvarint(), r.uvarint()
	c := &store.ChangeSet{
		From: store.Position{Lineage: lineage, Generation: generation, Revision: from, Root: r.root()},
		To:   store.Position{Lineage: lineage, Generation: generation, Revision: from + 1, Root: r.root()},
		At:   time.Unix(0, int64(r.uint64())).UTC(),
	}
	flags := r.byte()
	c.RemovalIntended, c.Omitted, c.Reversible = flags&flagRemoval != 0, flags&flagOmitted != 0, flags&flagReversible != 0
	c.Actor, c.Summary = r.text(), r.text()
	n := r.uvarint()
	if n > uint64(len(r.rest)) { // each change takes three bytes at least
		r.fail()
	}
	if r.err == nil && n > 0 {
		c.Changes = make([]store.Change, 0, n)
	}
	for ; n > 0 && r.err == nil; n-- {
		change := store.Change{Op: store.Op(r.byte()), Kind: r.text(), ID: r.text()}
		switch change.Op {
		case store.Put:
			change.Body = r.bytes()
		case store.Delete:
		default:
			r.fail()
		}
		if c.Reversible {
			change.Before = r.before()
		}
		c.Changes = append(c.Changes, change)
	}
	if r.err != nil || len(r.rest) > 0 {
		return nil, fmt.Errorf("decode change set: %w", errCodec)
	}
	return c, nil
}
