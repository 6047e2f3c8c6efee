package http2

import "sync"

// pieces are buffers for bodies on their way.
var pieces piecePool //nolint:gochecknoglobals // a pool

type piecePool struct{ pool sync.Pool }

func (p *piecePool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, pieceSize)
	return &b
}

func (p *piecePool) put(b *[]byte) { p.pool.Put(b) }
