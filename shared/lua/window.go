package lua

import (
	"fmt"
	"reflect"
	"unsafe"

	glua "github.com/yuin/gopher-lua"
)

// The interpreter asks its context before each instruction whether it is done, and gives
// no other way to count or to see what comes. The window looks at the frame that runs, so
// that the instruction about to run can be paid for: its offsets are read by reflection
// when the first machine is made, and a version of the interpreter with another layout
// stops that start (and TestWindow) instead of reading rubbish.
type window struct {
	currentFrame      uintptr // in LState, a *callFrame
	registry          uintptr // in LState, a *registry
	fn, pc, localBase uintptr // in callFrame
	array, top        uintptr // in registry
	tableArray, keys  uintptr // in LTable
}

func newWindow() (w window, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the interpreter has another layout: %v", r)
		}
	}()
	state := reflect.TypeFor[glua.LState]()
	frame := field(state, "currentFrame", reflect.Pointer)
	registry := field(state, "reg", reflect.Pointer)
	w.currentFrame, w.registry = frame.Offset, registry.Offset
	w.fn = exact(frame.Type.Elem(), "Fn", reflect.TypeFor[*glua.LFunction]())
	w.pc = exact(frame.Type.Elem(), "Pc", reflect.TypeFor[int]())
	w.localBase = exact(frame.Type.Elem(), "LocalBase", reflect.TypeFor[int]())
	w.array = exact(registry.Type.Elem(), "array", reflect.TypeFor[[]glua.LValue]())
	w.top = exact(registry.Type.Elem(), "top", reflect.TypeFor[int]())
	table := reflect.TypeFor[glua.LTable]()
	w.tableArray = exact(table, "array", reflect.TypeFor[[]glua.LValue]())
	w.keys = exact(table, "keys", reflect.TypeFor[[]glua.LValue]())
	return w, nil
}

func field(t reflect.Type, name string, kind reflect.Kind) reflect.StructField {
	f, ok := t.FieldByName(name)
	if !ok || f.Type.Kind() != kind {
		panic(t.String() + "." + name)
	}
	return f
}

func exact(t reflect.Type, name string, want reflect.Type) uintptr {
	f := field(t, name, want.Kind())
	if f.Type != want {
		panic(t.String() + "." + name)
	}
	return f.Offset
}

// framePointer is where a state keeps its running frame.
func (w *window) framePointer(l *glua.LState) *unsafe.Pointer {
	return (*unsafe.Pointer)(unsafe.Add(unsafe.Pointer(l), w.currentFrame))
}

// next is the instruction that a frame runs next. The interpreter has counted it already.
func (w *window) next(frame unsafe.Pointer) (fn *glua.LFunction, instruction uint32) {
	fn = *(**glua.LFunction)(unsafe.Add(frame, w.fn))
	pc := *(*int)(unsafe.Add(frame, w.pc))
	return fn, fn.Proto.Code[pc-1]
}

// registers are those of a whole state, and those of its running frame.
func (w *window) registers(l *glua.LState) (all []glua.LValue, local int) {
	registry := *(*unsafe.Pointer)(unsafe.Add(unsafe.Pointer(l), w.registry))
	array := *(*[]glua.LValue)(unsafe.Add(registry, w.array))
	top := *(*int)(unsafe.Add(registry, w.top))
	if frame := *w.framePointer(l); frame != nil {
		local = *(*int)(unsafe.Add(frame, w.localBase))
	}
	return array[:min(top, len(array))], local
}

// tableSize is the length and room of the array part, and the number of keys that the
// hash part has ever had, which it keeps.
func (w *window) tableSize(t *glua.LTable) (length, room, keys int) {
	array := *(*[]glua.LValue)(unsafe.Add(unsafe.Pointer(t), w.tableArray))
	hash := *(*[]glua.LValue)(unsafe.Add(unsafe.Pointer(t), w.keys))
	return len(array), cap(array), len(hash)
}
