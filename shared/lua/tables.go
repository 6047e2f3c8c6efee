package lua

import (
	"math"
	"math/bits"

	glua "github.com/yuin/gopher-lua"
)

// tableLibrary is table with LuaJIT's additions; sort is the interpreter's.
func tableLibrary() map[string]glua.LGFunction {
	return map[string]glua.LGFunction{
		"clear": tableClear, "clone": tableClone, "concat": tableConcat, "foreach": tableForeach, "foreachi": tableForeachi, "getn": tableGetn,
		"insert": tableInsert, "isarray": tableIsArray, "isempty": tableIsEmpty, "maxn": tableMaxn, "move": tableMove, "new": tableNew,
		"nkeys": tableNKeys, "pack": tablePack, "remove": tableRemove, "unpack": unpack,
	}
}

func tableConcat(l *glua.LState) int {
	t, sep := l.CheckTable(1), ""
	if v := l.Get(2); v != glua.LNil {
		sep = text(l, 2)
	}
	from, to := l.OptInt(3, 1), 0
	if v := l.Get(4); v != glua.LNil {
		to = l.CheckInt(4)
	} else {
		to = t.Len()
	}
	b := newBuffer(l)
	for i := from; i <= to; i++ {
		b.r.Work(l, 1)
		var piece string
		switch v := t.RawGetInt(i).(type) {
		case glua.LString:
			piece = string(v)
		case glua.LNumber:
			piece = Number(float64(v))
		default:
			l.RaiseError("invalid value (%s) at index %d in table for 'concat'", v.Type().String(), i)
		}
		b.write(piece)
		if i < to {
			b.write(sep)
		}
	}
	return give(l, b.done())
}

func tableInsert(l *glua.LState) int {
	t, r := l.CheckTable(1), RunOf(l)
	n := t.Len()
	switch l.GetTop() {
	case 2:
		r.Alloc(l, r.m.pool.growth(t, float64(n+1)))
		t.RawSetInt(n+1, l.Get(2))
	case 3:
		at := l.CheckInt(2)
		if at < 1 || at > n {
			r.Alloc(l, r.m.pool.growth(t, float64(at)))
			t.RawSetInt(at, l.Get(3))
			return 0
		}
		r.Alloc(l, slotBytes)
		r.Work(l, (n-at)/16)
		t.Insert(at, l.Get(3))
	default:
		l.RaiseError("wrong number of arguments to 'insert'")
	}
	return 0
}

func tableRemove(l *glua.LState) int {
	t := l.CheckTable(1)
	n := t.Len()
	at := l.OptInt(2, n)
	if n == 0 || at < 1 || at > n {
		l.Push(glua.LNil)
		return 1
	}
	RunOf(l).Work(l, (n-at)/16)
	l.Push(t.RawGetInt(at))
	t.Remove(at)
	return 1
}

func tableGetn(l *glua.LState) int {
	l.Push(glua.LNumber(l.CheckTable(1).Len()))
	return 1
}

func tableMaxn(l *glua.LState) int {
	most := 0.0
	each(l, l.CheckTable(1), func(key, _ glua.LValue) {
		if n, ok := key.(glua.LNumber); ok {
			most = math.Max(most, float64(n))
		}
	})
	l.Push(glua.LNumber(most))
	return 1
}

// each pays for a walk over a table and makes it, in the order of the keys.
func each(l *glua.LState, t *glua.LTable, fn func(key, value glua.LValue)) {
	r := RunOf(l)
	length, _, keys := r.m.pool.window.tableSize(t)
	r.Work(l, length+keys)
	for key, value := t.Next(glua.LNil); key != glua.LNil; key, value = t.Next(key) {
		fn(key, value)
	}
}

func tableForeach(l *glua.LState) int {
	t, fn := l.CheckTable(1), l.CheckFunction(2)
	for key, value := t.Next(glua.LNil); key != glua.LNil; key, value = t.Next(key) {
		if v := applied(l, fn, key, value); v != glua.LNil {
			l.Push(v)
			return 1
		}
	}
	return 0
}

func tableForeachi(l *glua.LState) int {
	t, fn := l.CheckTable(1), l.CheckFunction(2)
	for i := 1; i <= t.Len(); i++ {
		if v := applied(l, fn, glua.LNumber(i), t.RawGetInt(i)); v != glua.LNil {
			l.Push(v)
			return 1
		}
	}
	return 0
}

func applied(l *glua.LState, fn *glua.LFunction, key, value glua.LValue) glua.LValue {
	l.Push(fn)
	l.Push(key)
	l.Push(value)
	l.Call(2, 1)
	v := l.Get(-1)
	l.Pop(1)
	return v
}

func tableNew(l *glua.LState) int {
	array, hash := max(l.OptInt(1, 0), 0), max(l.OptInt(2, 0), 0)
	array, hash = min(array, 1<<16), min(hash, 1<<12) // it only says what to expect
	RunOf(l).Alloc(l, tableBytes+array*slotBytes+hash*entryBytes)
	l.Push(l.CreateTable(array, hash))
	return 1
}

func tableClear(l *glua.LState) int {
	t := l.CheckTable(1)
	var keys []glua.LValue
	each(l, t, func(key, _ glua.LValue) { keys = append(keys, key) })
	for _, key := range keys {
		t.RawSet(key, glua.LNil)
	}
	return 0
}

func tableClone(l *glua.LState) int {
	t, r := l.CheckTable(1), RunOf(l)
	length, _, keys := r.m.pool.window.tableSize(t)
	r.Alloc(l, tableBytes+length*slotBytes+keys*entryBytes)
	out := l.CreateTable(length, keys)
	each(l, t, out.RawSet)
	out.Metatable = t.Metatable
	l.Push(out)
	return 1
}

func tableIsEmpty(l *glua.LState) int {
	key, _ := l.CheckTable(1).Next(glua.LNil)
	l.Push(glua.LBool(key == glua.LNil))
	return 1
}

func tableIsArray(l *glua.LState) int {
	t := l.CheckTable(1)
	n, most := 0, 0.0
	array := true
	each(l, t, func(key, _ glua.LValue) {
		k, ok := key.(glua.LNumber)
		array = array && ok && k >= 1 && float64(k) == math.Trunc(float64(k))
		most = math.Max(most, float64(k))
		n++
	})
	l.Push(glua.LBool(array && int(most) == n))
	return 1
}

func tableNKeys(l *glua.LState) int {
	n := 0
	each(l, l.CheckTable(1), func(_, _ glua.LValue) { n++ })
	l.Push(glua.LNumber(n))
	return 1
}

func tableMove(l *glua.LState) int {
	from, first, last, to := l.CheckTable(1), l.CheckInt(2), l.CheckInt(3), l.CheckInt(4)
	into := l.OptTable(5, from)
	r := RunOf(l)
	step, i, end := 1, first, last+1
	if to > first && to <= last && into == from {
		step, i, end = -1, last, first-1
	}
	for ; first <= last && i != end; i += step {
		r.Work(l, 1)
		at := to + i - first
		r.Alloc(l, r.m.pool.growth(into, float64(at)))
		into.RawSetInt(at, from.RawGetInt(i))
	}
	l.Push(into)
	return 1
}

func tablePack(l *glua.LState) int {
	n := l.GetTop()
	RunOf(l).Alloc(l, tableBytes+n*slotBytes+entryBytes)
	t := l.CreateTable(n, 1)
	for i := 1; i <= n; i++ {
		t.RawSetInt(i, l.Get(i))
	}
	t.RawSetString("n", glua.LNumber(n))
	l.Push(t)
	return 1
}

func unpack(l *glua.LState) int {
	t := l.CheckTable(1)
	from, to := l.OptInt(2, 1), 0
	if v := l.Get(3); v != glua.LNil {
		to = l.CheckInt(3)
	} else {
		to = t.Len()
	}
	if to-from >= 1<<14 {
		l.RaiseError("too many results to unpack")
	}
	RunOf(l).Work(l, max(to-from, 0))
	for i := from; i <= to; i++ {
		l.Push(t.RawGetInt(i))
	}
	return max(to-from+1, 0)
}

// sorted pays for a sort before the interpreter's own does it.
func sorted(sort glua.LGFunction) glua.LGFunction {
	return func(l *glua.LState) int {
		n := l.CheckTable(1).Len()
		RunOf(l).Work(l, n*bits.Len(uint(n)))
		return sort(l)
	}
}
