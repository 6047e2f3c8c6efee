package lua

import (
	"math"

	glua "github.com/yuin/gopher-lua"
)

// What things take, in bytes: measured generously, since what grows by doubling has its
// old half beside it for a while.
const (
	tableBytes    = 128
	slotBytes     = 32  // of an array
	entryBytes    = 160 // of a hash
	closureBytes  = 160
	upvalueBytes  = 64
	threadBytes   = 12 << 10
	stringBytes   = 24
	functionBytes = 96
)

// pay counts what the next instruction makes. It reports whether it may.
func (m *meter) pay(fn *glua.LFunction, instruction uint32) bool {
	r := m.run
	a, b, c := int(instruction>>18)&0xff, int(instruction&0x1ff), int(instruction>>9)&0x1ff
	n := 0
	switch int(instruction >> 26) {
	case opNewTable:
		n = tableBytes + b*slotBytes + c*entryBytes
	case opSetGlobal, opSetTableKS:
		n = entryBytes
	case opClosure:
		n = closureBytes + int(fn.Proto.FunctionPrototypes[instruction&0x3ffff].NumUpvalues)*upvalueBytes
	case opSetList:
		if n = b; n == 0 {
			registers, local := r.m.pool.window.registers(m.state)
			n = len(registers) - local - a
		}
		n *= slotBytes
	case opConcat:
		registers, local := r.m.pool.window.registers(m.state)
		for i := local + b; i <= local+c && i < len(registers); i++ {
			switch v := registers[i].(type) {
			case glua.LString:
				n += len(v)
			case glua.LNumber:
				// Where Lua and the interpreter print numbers differently.
				if text := Number(float64(v)); float64(v) != math.Trunc(float64(v)) || math.Abs(float64(v)) >= 1e14 {
					registers[i] = glua.LString(text)
				}
				n += 24
			}
		}
		n += stringBytes
	case opSetTable, opLen:
		return m.payTable(fn, instruction, a, b)
	}
	return r.m.alloc(r, int64(n))
}

// payTable counts an assignment to a table, which may reach far beyond its end, and a
// look for the end.
func (m *meter) payTable(fn *glua.LFunction, instruction uint32, a, b int) bool {
	r := m.run
	registers, local := r.m.pool.window.registers(m.state)
	get := func(i int) glua.LValue {
		if i = local + i; i < len(registers) {
			return registers[i]
		}
		return nil
	}
	if int(instruction>>26) == opLen {
		if t, ok := get(b).(*glua.LTable); ok {
			// The end is looked for from behind, over the holes.
			length, _, _ := r.m.pool.window.tableSize(t)
			r.tick -= (length - t.MaxN()) / 16
		}
		return true
	}
	var key glua.LValue
	if b >= 0x100 {
		key = fn.Proto.Constants[b-0x100]
	} else {
		key = get(b)
	}
	k, ok := key.(glua.LNumber)
	t, isTable := get(a).(*glua.LTable)
	if !ok || !isTable {
		return r.m.alloc(r, entryBytes)
	}
	return r.m.alloc(r, int64(r.m.pool.growth(t, float64(k))))
}

// growth is what a table takes more for a number as key.
func (p *Pool) growth(t *glua.LTable, key float64) int {
	length, room, _ := p.window.tableSize(t)
	switch k := int(key); {
	case key != math.Trunc(key) || key < 1 || key >= float64(glua.MaxArrayIndex):
		return entryBytes
	case k <= length:
		return 0
	case k <= room:
		return 8 // a boxed number
	case k == length+1:
		return slotBytes + 8
	default:
		return (k - length) * slotBytes
	}
}
