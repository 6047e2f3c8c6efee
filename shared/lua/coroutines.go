package lua

import glua "github.com/yuin/gopher-lua"

// openCoroutines puts the library's functions behind ours, which meter each coroutine
// with the run that resumes it.
func openCoroutines(l *glua.LState) {
	library := l.GetGlobal(glua.CoroutineLibName).(*glua.LTable) //nolint:forcetypeassert // the interpreter's
	original := func(name string) glua.LGFunction {
		return library.RawGetString(name).(*glua.LFunction).GFunction //nolint:forcetypeassert // the interpreter's
	}
	create, resume, wrap := original("create"), original("resume"), original("wrap")
	library.RawSetString("create", l.NewFunction(func(l *glua.LState) int {
		RunOf(l).Alloc(l, threadBytes)
		l.CheckFunction(1)
		n := unmetered(l, create)
		th, _ := l.Get(-1).(*glua.LState)
		RunOf(l).newMeter(th)
		return n
	}))
	library.RawSetString("resume", l.NewFunction(func(l *glua.LState) int {
		RunOf(l).resumes(l.CheckThread(1))
		return resume(l)
	}))
	library.RawSetString("wrap", l.NewFunction(func(l *glua.LState) int {
		RunOf(l).Alloc(l, threadBytes)
		l.CheckFunction(1)
		unmetered(l, wrap)
		wrapped := l.Get(-1).(*glua.LFunction)           //nolint:forcetypeassert // as wrap made it
		th := wrapped.Upvalues[0].Value().(*glua.LState) //nolint:forcetypeassert // as wrap made it
		call := wrapped.GFunction
		RunOf(l).newMeter(th)
		l.Push(l.NewClosure(func(l *glua.LState) int {
			RunOf(l).resumes(l.ToThread(glua.UpvalueIndex(1)))
			return call(l)
		}, th))
		return 1
	}))
}

// unmetered makes a coroutine without the context of l, which the interpreter would put
// another one around.
func unmetered(l *glua.LState, fn glua.LGFunction) int {
	c := l.RemoveContext()
	defer l.SetContext(c)
	return fn(l)
}

// resumes lets a coroutine run at the cost of r: it may have been made by another run.
func (r *Run) resumes(th *glua.LState) {
	if m, ok := th.Context().(*meter); ok {
		m.run = r
	} else {
		r.newMeter(th)
	}
	r.coroutines = append(r.coroutines, th)
}
