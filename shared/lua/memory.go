package lua

import (
	"unsafe"

	glua "github.com/yuin/gopher-lua"
)

// alloc counts n bytes for a run. What a machine has made since it was last measured may
// be garbage by now: when live and made together pass the limit, what is reachable is
// measured, and only that counts. It reports whether the machine may have them.
func (m *Machine) alloc(r *Run, n int64) bool {
	m.made += n
	if m.live+m.made+m.held <= m.pool.limits.Memory {
		return true
	}
	if n <= m.pool.limits.Memory {
		visited := 0
		m.live, visited = m.measure()
		m.made = n
		r.left -= visited
	}
	if m.live+m.made+m.held <= m.pool.limits.Memory {
		return true
	}
	m.made -= n // it is not made
	r.halt(ErrMemory)
	return false
}

// measuring walks what is reachable.
type measuring struct {
	w     *window
	bytes int64
	seen  map[unsafe.Pointer]struct{}
	todo  []glua.LValue
}

// measure returns how many bytes are reachable, in how many things.
func (m *Machine) measure() (bytes int64, visited int) {
	w := &measuring{w: &m.pool.window, seen: map[unsafe.Pointer]struct{}{}}
	w.add(m.main.G.Registry)
	w.add(m.main.G.Global)
	w.state(m.main)
	for t := range m.kept {
		w.add(t)
	}
	for _, f := range m.loaded {
		w.add(f.fn)
	}
	for _, r := range m.runs {
		if r.busy {
			w.state(r.state)
			for _, c := range r.coroutines {
				w.state(c)
			}
		}
	}
	for len(w.todo) > 0 {
		last := len(w.todo) - 1
		v := w.todo[last]
		w.todo = w.todo[:last]
		w.visit(v)
	}
	return w.bytes, len(w.seen)
}

func (w *measuring) once(p unsafe.Pointer) bool {
	if _, ok := w.seen[p]; ok || p == nil {
		return false
	}
	w.seen[p] = struct{}{}
	return true
}

func (w *measuring) add(v glua.LValue) {
	switch v := v.(type) {
	case glua.LString:
		if len(v) > 32 && w.once(unsafe.Pointer(unsafe.StringData(string(v)))) {
			w.bytes += int64(len(v))
		}
	case *glua.LTable:
		if v != nil && w.once(unsafe.Pointer(v)) {
			w.todo = append(w.todo, v)
		}
	case *glua.LFunction:
		if v != nil && w.once(unsafe.Pointer(v)) {
			w.todo = append(w.todo, v)
		}
	case *glua.LState:
		if v != nil {
			w.state(v)
		}
	}
}

func (w *measuring) visit(v glua.LValue) {
	switch v := v.(type) {
	case *glua.LTable:
		_, room, keys := w.w.tableSize(v)
		w.bytes += tableBytes + int64(room)*16 + int64(keys)*entryBytes
		w.add(v.Metatable)
		v.ForEach(func(key, value glua.LValue) {
			w.add(key)
			w.add(value)
		})
	case *glua.LFunction:
		w.bytes += functionBytes
		if v.Env != nil {
			w.add(v.Env)
		}
		for _, u := range v.Upvalues {
			if u != nil && w.once(unsafe.Pointer(u)) {
				w.bytes += upvalueBytes
				w.add(u.Value())
			}
		}
	}
}

func (w *measuring) state(l *glua.LState) {
	if !w.once(unsafe.Pointer(l)) {
		return
	}
	registers, _ := w.w.registers(l)
	w.bytes += threadBytes + int64(cap(registers))*16
	for _, v := range registers {
		w.add(v)
	}
}
