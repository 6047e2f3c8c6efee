// Package lua runs functions that users write in Lua, as nginx does for Kong: a pool of
// machines stands for the workers, a request stays with the machine that it began on,
// and a machine runs one function at a time. What a function keeps (upvalues, globals)
// it keeps per machine. A Program is compiled once and runs on all of them.
//
// Nothing that users write can hang or flood a node: each run has a number of
// instructions and a time, each machine a size. Whoever goes beyond is stopped with
// ErrInstructions, ErrTime or ErrMemory, which no pcall catches. The interpreter is
// gopher-lua, which has no limits of its own; they are added from outside, see window.go.
//
// The language is Lua 5.1 with what LuaJIT's users expect beside it: goto, bit, table.new
// and the like, numbers printed with 14 digits. The package owns the language, its
// libraries and the sandbox. It refuses to know exchanges: kong and ngx are added by
// shared/lua/kit.
package lua
