package proxycache

import (
	"encoding/hex"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Config is exported for the tests.
type Config = config

// Memory is the store, for the tests.
type Memory struct{ m *memory }

// NewMemory makes a memory of that many bytes.
func NewMemory(limit int64) Memory { return Memory{newMemory(limit)} }

// Put stores a body under a number.
func (m Memory) Put(n int, body []byte, expires time.Time) {
	m.m.put(&entry{key: number(n), body: body, expires: expires})
}

// Has tells whether a number is stored.
func (m Memory) Has(n int, now time.Time) bool { k := number(n); return m.m.get(&k, now) != nil }

// Remove drops a number.
func (m Memory) Remove(n int) bool { k := number(n); return m.m.remove(&k) }

// Sweep drops what is past its time.
func (m Memory) Sweep(now time.Time) { m.m.sweep(now) }

// Purge drops all.
func (m Memory) Purge() { m.m.purge() }

// Used returns the bytes in use, and the number of entries and of links between them.
func (m Memory) Used() (bytes int64, entries, links int) {
	for i := range m.m.shards {
		s := &m.m.shards[i]
		entries += len(s.entries)
		for e := s.head.older; e != &s.head; e = e.older {
			links++
		}
	}
	return m.m.used.Load(), entries, links
}

func number(n int) (k key) {
	k[0], k[1], k[2] = byte(n), byte(n>>8), byte(n>>16)
	return k
}

// HexKey writes a number's key.
func HexKey(n int) string { k := number(n); return hex.EncodeToString(k[:]) }

// Parse reads the directives of a header line, for the fuzz test.
func Parse(value string) any {
	var h pdk.Header
	h.Add("Cache-Control", value)
	return parseDirectives(&h)
}
