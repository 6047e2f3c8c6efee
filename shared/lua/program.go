package lua

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	glua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// MaxSource bounds a function's text, in bytes.
const MaxSource = 1 << 20

// Program is a compiled function. It is immutable and runs on any machine.
type Program struct {
	proto *glua.FunctionProto
	gone  atomic.Bool
	pool  *Pool
}

// Check tells whether a source compiles. The error is a *SyntaxError when it does not.
func Check(source string) error {
	_, err := compile(source)
	return err
}

func compile(source string) (proto *glua.FunctionProto, err error) {
	globals()
	name := chunkName(source)
	if len(source) > MaxSource {
		return nil, &SyntaxError{Chunk: name, Line: 1, Message: fmt.Sprintf("the function is longer than %d bytes", MaxSource)}
	}
	if err := checkSyntax(source); err != nil {
		return nil, err
	}
	defer func() {
		// What the interpreter has no better word for, such as too many registers.
		if r := recover(); r != nil {
			proto, err = nil, &SyntaxError{Chunk: name, Line: 1, Message: fmt.Sprint(r)}
		}
	}()
	chunk, err := parse.Parse(strings.NewReader(source), name)
	if err == nil {
		proto, err = glua.Compile(chunk, name)
	}
	if err != nil {
		return nil, translate(name, err)
	}
	return proto, nil
}

// translate gives an error of the interpreter the form of a SyntaxError.
func translate(name string, err error) error {
	if e, ok := errors.AsType[*parse.Error](err); ok {
		return &SyntaxError{Chunk: name, Line: max(e.Pos.Line, 1), Message: e.Message + " near '" + e.Token + "'"}
	}
	if e, ok := errors.AsType[*glua.CompileError](err); ok {
		return &SyntaxError{Chunk: name, Line: max(e.Line, 1), Message: e.Message}
	}
	return &SyntaxError{Chunk: name, Line: 1, Message: err.Error()}
}

// Compile makes a program of a source, for the machines of the pool. Whoever needs it no
// more calls Close.
func (p *Pool) Compile(source string) (*Program, error) {
	if p.sandbox.Mode == Off {
		return nil, ErrDisabled
	}
	proto, err := compile(source)
	if err != nil {
		return nil, err
	}
	return &Program{proto: proto, pool: p}, nil
}

// Close lets the machines forget the program and what it has kept.
func (p *Program) Close() {
	if !p.gone.Swap(true) {
		p.pool.closed.Add(1)
	}
}

// loaded is a program on one machine.
type loaded struct {
	fn      *glua.LFunction
	started bool
}

func (m *Machine) load(p *Program) *loaded {
	l, ok := m.loaded[p]
	if !ok {
		fn := m.main.NewFunctionFromProto(p.proto)
		fn.Env = m.environment()
		l = &loaded{fn: fn}
		m.loaded[p] = l
		m.made += tableBytes*2 + closureBytes
	}
	return l
}

// Call runs a program and returns its first result.
func (r *Run) Call(p *Program) (glua.LValue, error) { return r.call(r.m.load(p).fn) }

// CallKept runs a program whose first run on a machine may return a function: that is
// what runs then, and from then on, with what it has in its upvalues.
func (r *Run) CallKept(p *Program) error {
	l := r.m.load(p)
	first := !l.started
	l.started = true
	v, err := r.call(l.fn)
	if fn, ok := v.(*glua.LFunction); ok && first && err == nil && !r.Exited() {
		l.fn = fn
		_, err = r.call(fn)
	}
	return err
}

func (r *Run) call(fn *glua.LFunction) (glua.LValue, error) {
	l := r.state
	l.Push(fn)
	if err := l.PCall(0, 1, nil); err != nil {
		return glua.LNil, r.fault(err)
	}
	v := l.Get(-1)
	l.Pop(1)
	return v, nil
}

// fault says why a call failed: nil when it was by Exit.
func (r *Run) fault(err error) error {
	if r.stop != nil {
		if r.Exited() {
			return nil
		}
		return r.stop
	}
	e, ok := errors.AsType[*glua.ApiError](err)
	if !ok {
		return err
	}
	switch object := e.Object.(type) {
	case glua.LString:
		return errors.New(string(object))
	case *glua.LTable:
		return errors.New("a table: " + object.String())
	case nil:
		return err
	}
	return errors.New(e.Object.String())
}
