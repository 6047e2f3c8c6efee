package proxy

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// requestIDs makes 32 hex digits a request: they need to be unique, not secret.
type requestIDs struct{ mask [2]uint64 }

func newRequestIDs() *requestIDs {
	var seed [16]byte
	_, _ = crand.Read(seed[:])
	return &requestIDs{[2]uint64{binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:])}}
}

func (r *requestIDs) next(t *pdk.Text) string {
	b := t.Room(32)
	b = appendHex(b, rand.Uint64()^r.mask[0])
	b = appendHex(b, rand.Uint64()^r.mask[1])
	return t.Keep(b)
}

func appendHex(b []byte, v uint64) []byte {
	const hex = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, hex[v>>shift&15])
	}
	return b
}
