package lua_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
)

func pool(t testing.TB, o lua.Options) *lua.Pool {
	t.Helper()
	p, err := lua.NewPool(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run compiles and runs a source and returns what it returned, as text.
func run(t testing.TB, p *lua.Pool, source string) (string, error) {
	t.Helper()
	program, err := p.Compile(source)
	if err != nil {
		return "", err
	}
	defer program.Close()
	var out string
	_, err = p.Run(nil, nil, func(r *lua.Run) error {
		v, err := r.Call(program)
		if err == nil {
			out = lua.ToString(r.State(), v)
		}
		return err
	})
	return out, err
}

func TestLanguage(t *testing.T) {
	p := pool(t, lua.Options{Sandbox: lua.Sandbox{Requires: []string{"cjson", "cjson.safe", "table.new"}}})
	for source, want := range map[string]string{
		"return 1":                                                         "1",
		"return 10/2":                                                      "5",
		"return 0.1 + 0.2":                                                 "0.3",
		"return 1795450080.123 .. ''":                                      "1795450080.123",
		"return 2^53":                                                      "9.007199254741e+15",
		"return 1e15 .. '|' .. -1.5 .. '|' .. 7":                           "1e+15|-1.5|7",
		"return tostring(1/0) .. tostring(-1/0)":                           "inf-inf",
		"return ('x'):rep(3, ',')":                                         "x,x,x",
		"return ('hello world'):find('o w')":                               "5",
		"return ('hello'):match('l+')":                                     "ll",
		"return (('k=v, a=b'):gsub('(%w+)=(%w+)', '%2=%1'))":               "v=k, b=a",
		"return (('abc'):gsub('', '-'))":                                   "-a-b-c-",
		"return (('abc'):gsub('%w', {a='1', b=true and 'x'}))":             "1xc",
		"return (('abc'):gsub('%w', function(c) return c:upper() end, 2))": "ABc",
		"return (('x'):gsub('.', '%%'))":                                   "%",
		"local r = {} for k, v in ('a=1,b=2'):gmatch('(%w)=(%w)') do r[#r+1] = k .. v end return table.concat(r, ';')": "a1;b2",
		"return ('abc'):find('b', 1, true)": "2",
		"return ('abc'):sub(-2)":            "bc",
		"return ('abc'):byte(2)":            "98",
		"return string.char(104, 105)":      "hi",
		"return string.format('%5.2f|%-4d|%04x|%s|%q|%g|%d%%', 3.14159, 7, 255, {} ~= nil, 'a\"b', 0.1, 3)":                                               " 3.14|7   |00ff|true|\"a\\\"b\"|0.1|3%",
		"return string.format('%g %g %g', 1e20, 100000, 1234567)":                                                                                         "1e+20 100000 1.23457e+06",
		"return bit.band(0xff, 0x0f) .. bit.tohex(255) .. bit.bnot(0)":                                                                                    "15000000ff-1",
		"local a, b = pcall(error, {code = 1}) return b.code":                                                                                             "1",
		"local ok, e = pcall(function() error('x', 0) end) return e":                                                                                      "x",
		"return select('#', 1, nil, nil)":                                                                                                                 "3",
		"local t = table.pack(1, nil, 3) return t.n":                                                                                                      "3",
		"return #table.move({1,2,3}, 1, 3, 2)":                                                                                                            "4",
		"local t = {5,3,1} table.sort(t) return table.concat(t, ' ')":                                                                                     "1 3 5",
		"local t = {1,2,3} table.insert(t, 1, 0) table.remove(t) return table.concat(t)":                                                                  "012",
		"for i = 1, 3 do for j = 1, 3 do if j == 2 then goto next end end ::next:: end return 'goto'":                                                     "goto",
		"local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end) return co(1) .. ' ' .. co(21)":                          "2 42",
		"local co = coroutine.create(function() error('in it') end) local ok, e = coroutine.resume(co) return tostring(ok) .. tostring(e):match('in it')": "falsein it",
		"return require('cjson').encode({a = {1, 2.5, 'x/y'}})":                                                                                           `{"a":[1,2.5,"x\/y"]}`,
		"local j = require('cjson') return j.encode({j.null, j.empty_array, {}})":                                                                         `[null,[],{}]`,
		"local j = require('cjson') return j.encode(j.decode('{\"b\":[1,null,\"\\\\u00e9\"],\"a\":{}}'))":                                                 `{"b":[1,null,"é"],"a":{}}`,
		"local v, e = require('cjson.safe').decode('{') return e":                                                                                         "Expected value but found T_END at character 2",
		"return tonumber('0x10') .. tostring(tonumber('1e2')) .. tostring(tonumber('nan')) .. tonumber('ff', 16)":                                         "16100nil255",
		"x = 5 return _G.x == nil and x":                                                                                                                  "5",
		"return type(os.time()) .. tostring(os.getenv) .. tostring(io.open) .. tostring(setmetatable) .. tostring(loadstring)":                            "numbernilnilnilnil",
	} {
		if got, err := run(t, p, source); err != nil || got != want {
			t.Errorf("%s: got %q, want %q, %v", source, got, want, err)
		}
	}
}

func TestErrors(t *testing.T) {
	p := pool(t, lua.Options{})
	for source, want := range map[string]string{
		"error('boom')":             `[string "error('boom')"]:1: boom`,
		"local x = nil\nreturn x.y": `[string "local x = nil..."]:2: attempt to index a non-table object(nil) with key 'y'`,
		"require 'os'":              "require 'os' not allowed within sandbox",
		"string.x = 1":              "Cannot modify string.x. Protected by the sandbox.",
		"error({})":                 "a table: table: ",
		"local function f() return 1 + f() end f()": "stack overflow",
		"return ('x'):rep(1e12)":                    lua.ErrMemory.Error(),
		"('x'):find('[a')":                          "malformed pattern",
		"coroutine.yield(1)":                        "can not yield from outside of a coroutine",
	} {
		if _, err := run(t, p, source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", source, err, want)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for source, want := range map[string]string{
		"syntax error here":                 `[string "syntax error here"]:1: '=' expected near 'error'`,
		"return return":                     `[string "return return"]:1: unexpected symbol near 'return'`,
		"if x then":                         `[string "if x then"]:1: 'end' expected near '<eof>'`,
		"if x then\n\ny()":                  `[string "if x then..."]:3: 'end' expected (to close 'if' at line 1) near '<eof>'`,
		"x = 'abc":                          `[string "x = 'abc"]:1: unfinished string near '<eof>'`,
		"x = 1e":                            `[string "x = 1e"]:1: malformed number near '1e'`,
		"f(":                                `[string "f("]:1: unexpected symbol near '<eof>'`,
		"local 1":                           `[string "local 1"]:1: '<name>' expected near '1'`,
		"for x do end":                      `[string "for x do end"]:1: '=' or 'in' expected near 'do'`,
		"--[[ never":                        `[string "--[[ never"]:1: unfinished long comment near '<eof>'`,
		"function() end":                    `[string "function() end"]:1: '<name>' expected near '('`,
		"local function f() return ... end": `[string "local function f() return ... end"]:1: cannot use '...' outside a vararg function near '...'`,
		"end":                               `[string "end"]:1: '<eof>' expected near 'end'`,
		"f() = 1":                           `[string "f() = 1"]:1: syntax error near '='`,
		"x = " + strings.Repeat("(", 5000):  "too many syntax levels",
		"goto nowhere":                      "nowhere",
		"a.b:c = 1":                         `[string "a.b:c = 1"]:1: function arguments expected near '='`,
	} {
		err := lua.Check(source)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v, want %q", source, err, want)
		}
	}
	for _, good := range []string{"", ";", "return", "local a <const> = 1"} {
		if err := lua.Check(good); (err != nil) != strings.Contains(good, "const") {
			t.Errorf("%q: %v", good, err)
		}
	}
}

func TestLimits(t *testing.T) {
	p := pool(t, lua.Options{Machines: 1, Limits: lua.Limits{Instructions: 300_000, Memory: 4 << 20, Time: time.Minute}, Sandbox: lua.Sandbox{Mode: lua.On}})
	for _, test := range []struct {
		name, source string
		want         error
	}{
		{"loop", "while true do end", lua.ErrInstructions},
		{"loop that catches", "while true do pcall(function() while true do end end) end", lua.ErrInstructions},
		{"handler that loops", "while true do xpcall(error, function() while true do end end) end", lua.ErrInstructions},
		{"coroutine", "coroutine.wrap(function() while true do end end)()", lua.ErrInstructions},
		{"coroutines without end", "while true do coroutine.resume(coroutine.create(function() while true do end end)) end", lua.ErrInstructions},
		{"pattern", "return (('a'):rep(30000)):find(('.-'):rep(20) .. 'b')", lua.ErrInstructions},
		{"recursion in a metamethod", "local t = setmetatable({}, {__index = function(t, k) return t[k .. 'x'] end}) while true do pcall(function() return t.a end) end", lua.ErrInstructions},
		{"doubled text", "local s = 'x' while true do s = s .. s end", lua.ErrMemory},
		{"table", "local t = {} for i = 1, 1e9 do t[i] = {} end", lua.ErrMemory},
		{"long key", "local t = {} t[1000000] = 1 t = {t} for i = 1, 100 do t[i] = {} t[i][1000000] = 1 end", lua.ErrMemory},
		{"keys", "local t = {} for i = 1, 1e9 do t['k' .. i] = i end", lua.ErrMemory},
		{"closures", "local t = {} for i = 1, 1e9 do t[i] = function() return i end end", lua.ErrMemory},
		{"rep", "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(100000) end", lua.ErrMemory},
		{"gsub", "return (('a'):rep(100000)):gsub('a', ('b'):rep(100000))", lua.ErrMemory},
		{"concat", "local t = {} for i = 1, 10000 do t[i] = ('x'):rep(1000) end local u = {} for i = 1, 1000 do u[i] = table.concat(t) end", lua.ErrMemory},
		{"format", "local s = ('x'):rep(1000000) return string.format(('%s'):rep(100), unpack((function() local t = {} for i = 1, 100 do t[i] = s end return t end)()))", lua.ErrMemory},
		{"insert at 1", "local t = {} for i = 1, 1e9 do table.insert(t, 1, i) end", lua.ErrInstructions},
		{"coroutines kept", "local t = {} for i = 1, 1e6 do t[i] = coroutine.create(function() end) end", lua.ErrMemory},
		{"rawset", "for i = 1, 100 do _G['k' .. i] = rawset({}, 1000000, 1) end", lua.ErrMemory},
		{"kept by the machine", "keep = keep or {} for i = 1, 1e9 do keep[#keep + 1] = ('x'):rep(1000) end", lua.ErrMemory},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := run(t, p, test.source); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if got, err := run(t, p, "return 'alive'"); got != "alive" {
				t.Errorf("afterwards: %q, %v", got, err)
			}
		})
	}
}

func TestGarbageIsNoMemory(t *testing.T) {
	p := pool(t, lua.Options{Machines: 1, Limits: lua.Limits{Memory: 4 << 20}})
	if got, err := run(t, p, "local s for i = 1, 2000 do s = ('x'):rep(100000) .. i end return #s"); got != "100004" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTime(t *testing.T) {
	p := pool(t, lua.Options{Limits: lua.Limits{Time: time.Nanosecond}})
	if _, err := run(t, p, "local n = 0 for i = 1, 1e5 do n = n + 1 end"); !errors.Is(err, lua.ErrTime) {
		t.Errorf("got %v", err)
	}
}

func TestOff(t *testing.T) {
	p := pool(t, lua.Options{Sandbox: lua.Sandbox{Mode: lua.Off}})
	if _, err := p.Compile("return 1"); !errors.Is(err, lua.ErrDisabled) {
		t.Errorf("got %v", err)
	}
}

func TestKeptFunction(t *testing.T) {
	p := pool(t, lua.Options{Machines: 1})
	program, err := p.Compile("local n = 0 return function() n = n + 1 seen = n _G.total = n end")
	if err != nil {
		t.Fatal(err)
	}
	read, err := p.Compile("return _G.total")
	if err != nil {
		t.Fatal(err)
	}
	for want := 1; want <= 3; want++ {
		_, err := p.Run(nil, nil, func(r *lua.Run) error {
			if err := r.CallKept(program); err != nil {
				return err
			}
			v, err := r.Call(read)
			if v != glua.LNumber(want) {
				t.Errorf("got %v, want %d", v, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWornMachineIsReplaced(t *testing.T) {
	worn := 0
	p := pool(t, lua.Options{Machines: 1, Limits: lua.Limits{Memory: 4 << 20}, Worn: func(int64) { worn++ }})
	if _, err := run(t, p, "_G.keep = {} for i = 1, 1e9 do _G.keep[i] = ('x'):rep(10000) end"); !errors.Is(err, lua.ErrMemory) {
		t.Fatalf("got %v", err)
	}
	if got, err := run(t, p, "return tostring(_G.keep)"); got != "nil" || worn != 1 {
		t.Errorf("got %q, %v, replaced %d times", got, err, worn)
	}
}

func TestBlockLetsOthersRun(t *testing.T) {
	p := pool(t, lua.Options{Machines: 1})
	program, _ := p.Compile("return 1")
	machine, err := p.Run(nil, 1, func(r *lua.Run) error {
		done := make(chan error)
		r.Block(func() {
			go func() {
				_, err := p.Run(r.Machine(), 2, func(other *lua.Run) error {
					_, err := other.Call(program)
					return err
				})
				done <- err
			}()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		_, err := r.Call(program)
		return err
	})
	if machine == nil || err != nil {
		t.Error(err)
	}
}

func BenchmarkRun(b *testing.B) {
	p := pool(b, lua.Options{})
	for name, source := range map[string]string{
		"nothing": "return 1",
		"loop":    "local n = 0 for i = 1, 1000 do n = n + i end return n",
		"text":    "local s = '' for i = 1, 100 do s = s .. 'x' end return s:upper():sub(1, 3)",
	} {
		b.Run(name, func(b *testing.B) {
			program, err := p.Compile(source)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Run(nil, nil, func(r *lua.Run) error { _, err := r.Call(program); return err }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"return 1", "x = {[1]=2, a='b'; 3}", "if a then b() elseif c then d() else e() end", "local s = [==[ ]] ]==] -- x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		_ = lua.Check(source)
	})
}
