package lua

import (
	"context"
	"errors"
	"time"
	"unsafe"

	glua "github.com/yuin/gopher-lua"
)

// slice is how many instructions run between two looks at the clock.
const slice = 1024

// Run is one function on its way. The libraries of a machine find it with RunOf.
type Run struct {
	// Value is what the caller of Machine.Run gave: what kong and ngx work on.
	Value any

	m     *Machine
	state *glua.LState
	meter *meter
	// tick counts down to the end of the slice; left are the instructions after it.
	tick, left int
	until      time.Time
	stop       error
	// coroutines that this run has made; their registers hold values.
	coroutines []*glua.LState
	// held are bytes that a library has in hand.
	held int64
	busy bool
}

// RunOf returns the run that l belongs to.
func RunOf(l *glua.LState) *Run { return l.Context().(*meter).run } //nolint:forcetypeassert // a state has no other context

// Machine that the run is on.
func (r *Run) Machine() *Machine { return r.m }

// State is the thread that the run began on.
func (r *Run) State() *glua.LState { return r.state }

// Exit ends the run without an error: no instruction of it runs any more.
func (r *Run) Exit(l *glua.LState) {
	r.halt(errExit)
	l.RaiseError("exit")
}

// Exited tells whether Exit ended the run.
func (r *Run) Exited() bool { return errors.Is(r.stop, errExit) }

func (r *Run) halt(err error) {
	if r.stop == nil {
		r.stop = err
	}
	r.tick = 0
}

// Work pays for what a library does in Go, in instructions.
func (r *Run) Work(l *glua.LState, n int) {
	if n < r.tick {
		r.tick -= n
		return
	}
	r.left -= n - r.tick
	r.tick = 0
	if r.over() {
		l.RaiseError("%s", r.stop.Error())
	}
}

// Alloc pays for n bytes that a library is about to make.
func (r *Run) Alloc(l *glua.LState, n int) {
	if n >= 0 && !r.m.alloc(r, int64(n)) {
		l.RaiseError("%s", r.stop.Error())
	}
}

// over is called at the end of a slice. It reports whether the run is over, and gives it
// another slice when it is not.
func (r *Run) over() bool {
	switch {
	case r.stop != nil:
	case r.left <= 0:
		r.halt(ErrInstructions)
	case time.Now().After(r.until):
		r.halt(ErrTime)
	default:
		r.tick = min(slice, r.left)
		r.left -= r.tick
		return false
	}
	r.tick = 0
	return true
}

// Block runs fn, which may wait for a client or the like, while other runs use the
// machine. The time does not count.
func (r *Run) Block(fn func()) {
	current := r.state.G.CurrentThread
	began := time.Now()
	r.m.mu.Unlock()
	defer func() {
		r.m.mu.Lock()
		r.until = r.until.Add(time.Since(began))
		r.state.G.CurrentThread = current
	}()
	fn()
}

// meter is the context of one thread: the interpreter calls Done before each instruction.
type meter struct {
	run   *Run
	state *glua.LState
	frame *unsafe.Pointer
}

var _ context.Context = (*meter)(nil)

// closed is what Done returns to stop a run.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }() //nolint:gochecknoglobals // a constant

func (r *Run) newMeter(l *glua.LState) *meter {
	m := &meter{run: r, state: l, frame: r.m.pool.window.framePointer(l)}
	l.SetContext(m)
	return m
}

// Instructions that make or grow something. The numbers are those of the interpreter.
const (
	opSetGlobal  = glua.OP_SETGLOBAL
	opSetTable   = glua.OP_SETTABLE
	opSetTableKS = glua.OP_SETTABLEKS
	opNewTable   = glua.OP_NEWTABLE
	opConcat     = glua.OP_CONCAT
	opSetList    = glua.OP_SETLIST
	opClosure    = glua.OP_CLOSURE
	opLen        = glua.OP_LEN

	costly uint64 = 1<<opSetGlobal | 1<<opSetTable | 1<<opSetTableKS | 1<<opNewTable | 1<<opConcat | 1<<opSetList | 1<<opClosure | 1<<opLen
)

// Done follows context.Context.
func (m *meter) Done() <-chan struct{} {
	r := m.run
	if r.tick--; r.tick < 0 && r.over() {
		return closed
	}
	fn, instruction := r.m.pool.window.next(*m.frame)
	if costly>>(instruction>>26)&1 != 0 && !m.pay(fn, instruction) {
		return closed
	}
	return nil
}

// Err follows context.Context.
func (m *meter) Err() error { return m.run.stop }

// Deadline follows context.Context.
func (m *meter) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value follows context.Context.
func (m *meter) Value(any) any { return nil }
