package lua

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/schema/luapattern"
)

// Limits of what functions may use.
type Limits struct {
	// Instructions of one run; 0 means 20 million.
	Instructions int
	// Memory of one machine in bytes, all that its functions keep together; 0 means 64 MiB.
	Memory int64
	// Time of one run, beside what it waits; 0 means 10 s. It is for library calls that
	// take long: instructions end sooner.
	Time time.Duration
}

// Options of a Pool.
type Options struct {
	Limits Limits
	// Machines is how many there are; 0 means one for each processor, but two at least.
	Machines int
	// Sandbox says what functions may see; the zero value is Kong's own sandbox.
	Sandbox Sandbox
	// Open adds libraries to a machine's globals; nil adds none.
	Open func(m *Machine, l *glua.LState)
	// Modules for require, beside the package's own, by name.
	Modules map[string]glua.LGFunction
	// Print takes what print writes; nil drops it.
	Print func(r *Run, text string)
	// Worn is told that a machine was replaced because what its functions keep came
	// near the limit.
	Worn func(live int64)
}

// Pool is the machines of a node. It is safe for concurrent use.
type Pool struct {
	options  Options
	limits   Limits
	sandbox  Sandbox
	window   window
	machines []atomic.Pointer[Machine]
	turn     atomic.Uint32
	// closed counts the programs that were closed.
	closed atomic.Int64
}

// globals sets what the interpreter keeps for the whole process, once. A number up to
// MaxArrayIndex as a key makes an array that long. CompatVarArg would make a table named
// arg for each call, which LuaJIT does not.
var globals = sync.OnceFunc(func() { glua.MaxArrayIndex, glua.CompatVarArg = 1<<20, false }) //nolint:gochecknoglobals // guards globals of the interpreter

// NewPool makes the machines when they are needed first.
func NewPool(o Options) (*Pool, error) {
	globals()
	w, err := newWindow()
	if err != nil {
		return nil, err
	}
	if o.Machines == 0 {
		o.Machines = max(runtime.GOMAXPROCS(0), 2)
	}
	if o.Limits.Instructions == 0 {
		o.Limits.Instructions = 20_000_000
	}
	if o.Limits.Memory == 0 {
		o.Limits.Memory = 64 << 20
	}
	if o.Limits.Time == 0 {
		o.Limits.Time = 10 * time.Second
	}
	return &Pool{options: o, limits: o.Limits, sandbox: o.Sandbox, window: w, machines: make([]atomic.Pointer[Machine], o.Machines)}, nil
}

// Machine is a Lua state with its libraries, the programs that ran on it and what they
// keep. One run uses it at a time.
type Machine struct {
	pool *Pool
	// ID is the machine's number, as ngx.worker.id gives it.
	ID int

	mu     sync.Mutex
	main   *glua.LState
	loaded map[*Program]*loaded
	// runs are all that were made, idle those that wait for use.
	runs, idle []*Run
	// kept are tables that live without being reachable in Lua.
	kept map[*glua.LTable]struct{}
	// live is what the last measurement found, made what was allocated since.
	// held is what libraries have in hand.
	live, made, held int64
	closed           int64 // as the pool's, when programs were forgotten last
	safe             *glua.LTable
	// arrayMeta marks empty tables that are arrays in JSON, as cjson.array_mt does.
	arrayMeta *glua.LTable
	modules   map[string]glua.LValue
	patterns  map[string]*luapattern.Pattern
}

func (p *Pool) newMachine(id int) *Machine {
	m := &Machine{
		pool: p, ID: id, loaded: map[*Program]*loaded{}, kept: map[*glua.LTable]struct{}{},
		modules: map[string]glua.LValue{}, patterns: map[string]*luapattern.Pattern{},
	}
	m.main = glua.NewState(glua.Options{
		SkipOpenLibs: true, CallStackSize: 2048, MinimizeStackMemory: true,
		RegistrySize: 256, RegistryGrowStep: 256, RegistryMaxSize: 1 << 16,
	})
	m.arrayMeta = m.main.NewTable()
	m.open()
	if p.options.Open != nil {
		p.options.Open(m, m.main)
	}
	m.live, _ = m.measure()
	return m
}

// Run runs fn on a machine: on pinned, unless it is nil, else on one that is free. It
// returns the machine, for the next run of the same request.
func (p *Pool) Run(pinned *Machine, value any, fn func(r *Run) error) (*Machine, error) {
	m := pinned
	if m != nil {
		m.mu.Lock()
	} else {
		m = p.take()
	}
	defer m.mu.Unlock()
	r := m.begin(value)
	defer m.end(r)
	return m, fn(r)
}

// take locks a machine: the first one that is free, else the one whose turn it is. Few
// requests meet the same machines so, whose programs have run before.
func (p *Pool) take() *Machine {
	for i := range p.machines {
		m := p.machine(i)
		if m.mu.TryLock() {
			return m
		}
	}
	m := p.machine(int(p.turn.Add(1)) % len(p.machines))
	m.mu.Lock()
	return m
}

func (p *Pool) machine(i int) *Machine {
	if m := p.machines[i].Load(); m != nil {
		return m
	}
	m := p.newMachine(i)
	if p.machines[i].CompareAndSwap(nil, m) {
		return m
	}
	return p.machines[i].Load()
}

func (m *Machine) begin(value any) *Run {
	if closed := m.pool.closed.Load(); closed != m.closed {
		m.closed = closed
		for p := range m.loaded {
			if p.gone.Load() {
				delete(m.loaded, p)
			}
		}
	}
	var r *Run
	if n := len(m.idle); n > 0 {
		r = m.idle[n-1]
		m.idle = m.idle[:n-1]
	} else {
		r = &Run{m: m}
		r.state, _ = m.main.NewThread()
		r.meter = r.newMeter(r.state)
		m.runs = append(m.runs, r)
		m.made += threadBytes
	}
	r.Value, r.stop, r.busy = value, nil, true
	r.left, r.tick = m.pool.limits.Instructions, 0
	r.until = time.Now().Add(m.pool.limits.Time)
	r.state.G.CurrentThread = r.state
	return r
}

func (m *Machine) end(r *Run) {
	memory := r.stop == ErrMemory //nolint:errorlint // halt keeps the value itself
	r.Value, r.busy = nil, false
	r.release(int(r.held)) // of calls that failed
	clear(r.coroutines)
	r.coroutines = r.coroutines[:0]
	if registers, _ := m.pool.window.registers(r.state); memory || cap(registers) > 4096 {
		m.forget(r)
	} else {
		r.state.SetTop(0)
		m.idle = append(m.idle, r)
	}
	if memory {
		m.renew()
	}
}

func (m *Machine) forget(r *Run) {
	for i := range m.runs {
		if m.runs[i] == r {
			m.runs = append(m.runs[:i], m.runs[i+1:]...)
			return
		}
	}
}

// renew puts another machine in the place of one that is full of what its functions keep.
// Requests that began on it go on there.
func (m *Machine) renew() {
	m.live, _ = m.measure()
	m.made = 0
	if m.live > m.pool.limits.Memory/4*3 && m.pool.machines[m.ID].Load() == m {
		m.pool.machines[m.ID].Store(nil)
		if m.pool.options.Worn != nil {
			m.pool.options.Worn(m.live)
		}
	}
}

// Keep has a table of a request counted, although nothing in Lua refers to it, until
// Forget. Both are called within a run of the machine.
func (m *Machine) Keep(t *glua.LTable) { m.kept[t] = struct{}{} }

// Forget ends what Keep began.
func (m *Machine) Forget(t *glua.LTable) { delete(m.kept, t) }

// Lock waits for the machine without a run, for Forget when a request ends.
func (m *Machine) Lock() { m.mu.Lock() }

// Unlock follows Lock.
func (m *Machine) Unlock() { m.mu.Unlock() }
