package lua

import (
	"strings"

	glua "github.com/yuin/gopher-lua"
)

// buffer builds a string whose pieces count before it is a value in Lua.
type buffer struct {
	l *glua.LState
	r *Run
	b strings.Builder
}

func newBuffer(l *glua.LState) *buffer { return &buffer{l: l, r: RunOf(l)} }

func (b *buffer) write(s string) {
	b.r.hold(b.l, len(s))
	b.b.WriteString(s)
}

func (b *buffer) writeByte(c byte) {
	b.r.hold(b.l, 1)
	b.b.WriteByte(c)
}

// done returns the string, which counts as any other from now on.
func (b *buffer) done() string {
	b.r.release(b.b.Len())
	b.r.m.made += int64(b.b.Len()) + stringBytes
	return b.b.String()
}

// hold counts bytes that a library has in hand, where no measurement sees them.
func (r *Run) hold(l *glua.LState, n int) {
	r.held += int64(n)
	r.m.held += int64(n)
	r.Alloc(l, 0)
}

func (r *Run) release(n int) {
	r.held -= int64(n)
	r.m.held -= int64(n)
}
