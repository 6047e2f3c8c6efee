package e2e

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
	"github.com/sluice-gateway/sluice/scripts/e2e/relay"
)

// chaosTime is how long TestChaos goes on: CHAOS says so; make chaos sets it.
func chaosTime(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("CHAOS"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("CHAOS: %v", err)
		}
		return d
	}
	return 15 * time.Second
}

// chaosNodes is how many data planes there are, registers how many values are written.
const (
	chaosNodes = 3
	registers  = 4
)

// TestChaos writes, reads and sends traffic while either plane and the links between them
// fail at random. No request gets a wrong answer, no acknowledged write is lost, a node
// that has applied a write that was waited for never answers from before it, and in the
// end all have the same root.
//
// A register is the body of a plugin that ends requests, so that a read is a request to a
// data plane. Each has one writer, which waits for all nodes. For one register at one node
// the history must be linearizable: a write takes place somewhere between its start and
// the answer that says that all three nodes have applied it or a later one. What a node
// serves from disk, between its end and its catching up, may be older and is not looked
// at: it has said APPLIED and not PERSISTED.
func TestChaos(t *testing.T) {
	length := chaosTime(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	x := newChaos(t, seed)
	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	var work sync.WaitGroup
	for _, r := range x.registers {
		work.Go(func() { x.write(ctx, r) })
	}
	for _, n := range x.nodes {
		work.Go(func() { x.ask(ctx, n) })
		for range 2 {
			work.Go(func() { x.read(ctx, n) })
		}
	}
	work.Go(func() { x.grow(ctx) })
	work.Go(func() { x.judge(ctx, stop) })
	x.faults(ctx)
	work.Wait()
	x.heal()
	x.c.equalRoots()
	x.finish()
}

type chaos struct {
	t         *testing.T
	c         *cluster
	rnd       *rand.Rand // of the faults
	began     time.Time
	registers []*register
	nodes     []*chaosNode
	control   sync.RWMutex // held for writing while the control plane is not there

	asked, wrong, reads, writes, waited, restarts atomic.Int64
	happened                                      map[string]int
	story                                         []string // the faults in their order
}

// chaosNode is a data plane and its link.
type chaosNode struct {
	*node
	link *relay.Relay
	// life changes when the node's process ends and when it has caught up again; it is odd
	// in between.
	life atomic.Int64
	// alive is odd while the process can't answer.
	alive atomic.Int64
	kills int // in a row

	mu    sync.Mutex
	reads map[string][]observed // by register
}

// register is one value and the history of its writes.
type register struct {
	name, plugin string

	mu     sync.Mutex
	writes []written
}

type written struct {
	value      string
	start, end int64 // nanoseconds since the test began; end is 0 until all have applied it
	answered   bool
}

func newChaos(t *testing.T, seed uint64) *chaos {
	t.Helper()
	x := &chaos{t: t, c: newCluster(t, 0), rnd: rand.New(rand.NewPCG(seed, 1)), began: time.Now(), happened: map[string]int{}} //nolint:gosec // a test wants to repeat
	for range chaosNodes {
		n, link := x.c.relayed()
		x.nodes = append(x.nodes, &chaosNode{node: n, link: link, reads: map[string][]observed{}})
	}
	up := newEcho(t, "up")
	x.c.serve("one", up.URL, "/one")
	for i := range registers {
		r := &register{name: fmt.Sprintf("reg%d", i)}
		x.c.serve(r.name, up.URL, "/"+r.name)
		first := r.name + "-0"
		r.plugin = x.c.must("POST", "/services/"+r.name+"/plugins", object{
			"name": "request-termination", "config": object{"status_code": 200, "body": first, "content_type": "text/plain"},
		}, 201, headers{"X-Sluice-Wait", "all"}).text("id")
		r.writes = []written{{value: first, start: 0, end: x.now(), answered: true}}
		x.registers = append(x.registers, r)
	}
	return x
}

func (x *chaos) now() int64 { return time.Since(x.began).Nanoseconds() }

func (x *chaos) fault(format string, args ...any) {
	if x.wrong.Add(1) <= 20 {
		x.t.Errorf(format, args...)
	}
}

// write writes a register again and again.
func (x *chaos) write(ctx context.Context, r *register) {
	for i := 1; ctx.Err() == nil; i++ {
		value := fmt.Sprintf("%s-%d", r.name, i)
		r.mu.Lock()
		r.writes = append(r.writes, written{value: value, start: x.now()})
		r.mu.Unlock()
		answer := x.c.try("PATCH", "/plugins/"+r.plugin, object{"config": object{"body": value}}, headers{"X-Sluice-Wait", "all", "X-Sluice-Wait-Timeout", "3"})
		end := x.now()
		r.mu.Lock()
		last := &r.writes[len(r.writes)-1]
		switch {
		case answer.is(200) == nil:
			x.writes.Add(1)
			last.answered = true
			if answer.header.Get("X-Sluice-Applied") == fmt.Sprintf("%d/%d", chaosNodes, chaosNodes) {
				x.waited.Add(1)
				for j := len(r.writes) - 1; j >= 0 && r.writes[j].end == 0; j-- {
					r.writes[j].end = end
				}
			}
			r.mu.Unlock()
		case answer.err == nil && answer.status < 500:
			r.mu.Unlock()
			x.fault("a write of %s: %v", r.name, answer.is(200))
		default:
			r.mu.Unlock()
			x.settle(ctx, r)
		}
		pause := time.NewTimer(time.Duration(rand.IntN(60)) * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// settle finds out what became of a write that was not answered: it was made, or it never
// will be. Either way what was acknowledged before must be there.
func (x *chaos) settle(ctx context.Context, r *register) {
	var got *response
	err := process.Poll(context.WithoutCancel(ctx), func() error {
		x.control.RLock()
		defer x.control.RUnlock()
		got = x.c.try("GET", "/plugins/"+r.plugin, nil)
		return got.is(200)
	})
	if err != nil {
		x.fault("%s is gone: %v", r.name, err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	value := got.text("config", "body")
	n := len(r.writes)
	switch value {
	case r.writes[n-1].value:
		r.writes[n-1].answered = true
	case r.writes[n-2].value:
		r.writes = r.writes[:n-1]
	default:
		x.fault("%s is %s; acknowledged was %s, sent %s", r.name, value, r.writes[n-2].value, r.writes[n-1].value)
	}
}

// read reads registers at a node.
func (x *chaos) read(ctx context.Context, n *chaosNode) {
	for ctx.Err() == nil {
		r := x.registers[rand.IntN(len(x.registers))]
		life, start := n.life.Load(), x.now()
		got := n.try("GET", "/"+r.name, nil)
		end := x.now()
		if got.is(200) == nil && life%2 == 0 && n.life.Load() == life {
			x.reads.Add(1)
			n.mu.Lock()
			n.reads[r.name] = append(n.reads[r.name], observed{string(got.body), start, end})
			n.mu.Unlock()
		}
		time.Sleep(10 * time.Millisecond) // the rate
	}
}

// ask sends traffic: while a node's process can answer it must, and rightly.
func (x *chaos) ask(ctx context.Context, n *chaosNode) {
	for ctx.Err() == nil {
		alive := n.alive.Load()
		got := n.try("GET", "/one", nil)
		if alive%2 == 0 && n.alive.Load() == alive {
			x.asked.Add(1)
			if got.is(200) != nil || !strings.Contains(string(got.body), `"name":"up"`) {
				x.fault("%s: %v %.100s", n.label, got.is(200), got.body)
			}
		} else if got.err == nil && (got.status != 200 || !strings.Contains(string(got.body), `"name":"up"`)) && got.status != 404 && got.status != 503 {
			x.fault("%s answers while it starts or ends: %d %.100s", n.label, got.status, got.body)
		}
		time.Sleep(5 * time.Millisecond) // the rate
	}
}

// grow makes and removes other entities, many at a time now and then.
func (x *chaos) grow(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		many := 1
		if rand.IntN(10) == 0 {
			many = 50
		}
		for j := range many {
			name := fmt.Sprintf("extra%d", (i*7+j)%300)
			if rand.IntN(3) == 0 {
				_ = x.c.try("DELETE", "/routes/"+name, nil)
			} else {
				_ = x.c.try("PUT", "/routes/"+name, object{"service": object{"name": "one"}, "paths": []string{"/" + name}, "tags": []string{strings.Repeat("t", 1+rand.IntN(2000))}})
			}
		}
		time.Sleep(100 * time.Millisecond) // the rate
	}
}

// faults breaks one thing after the other until ctx ends.
func (x *chaos) faults(ctx context.Context) {
	for ctx.Err() == nil {
		n := x.nodes[x.rnd.IntN(len(x.nodes))]
		short := time.Duration(x.rnd.IntN(2000)) * time.Millisecond
		// Long enough to be noticed, three times of ten.
		long := short
		if x.rnd.IntN(10) < 3 {
			long += 20 * time.Second
		}
		kinds := []struct {
			name string
			run  func()
		}{
			{"control plane killed", func() { x.restartControl(ctx, true, short) }},
			{"control plane stopped", func() { x.restartControl(ctx, false, short) }},
			{"node killed", func() { x.restartNode(ctx, n, true, false) }},
			{"node stopped", func() { x.restartNode(ctx, n, false, false) }},
			{"cache damaged", func() { x.restartNode(ctx, n, true, true) }},
			{"both killed", func() {
				x.control.Lock()
				x.c.control.kill()
				x.restartNodeWhile(ctx, n, true, false, func() { x.startControl(); x.control.Unlock() })
			}},
			{"node frozen", func() { x.freeze(ctx, n, long) }},
			{"link stalls", func() { n.link.Set(relay.Stall); wait(ctx, long); n.link.Set(relay.Pass) }},
			{"old connections stall", func() { n.link.SetOld(relay.Stall); wait(ctx, long) }},
			{"link trickles", func() { n.link.Set(relay.Trickle); wait(ctx, long); n.link.Set(relay.Pass) }},
			{"link is refused", func() { n.link.Set(relay.Refuse); wait(ctx, long); n.link.Set(relay.Pass) }},
			{"link is cut", func() { n.link.Cut() }},
			{"links flap", func() {
				for range 3 {
					n.link.Set(relay.Refuse)
					wait(ctx, 200*time.Millisecond)
					n.link.Set(relay.Pass)
					wait(ctx, 200*time.Millisecond)
				}
			}},
		}
		k := kinds[x.rnd.IntN(len(kinds))]
		x.happened[k.name]++
		began := x.now()
		k.run()
		x.story = append(x.story, fmt.Sprintf("%v to %v: %s (%s)", time.Duration(began), time.Duration(x.now()), k.name, n.label))
		// Half of the faults meet what the one before has left.
		if x.rnd.IntN(2) == 0 {
			wait(ctx, time.Second)
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (x *chaos) restartControl(ctx context.Context, kill bool, away time.Duration) {
	x.control.Lock()
	defer x.control.Unlock()
	if kill {
		x.c.control.kill()
	} else {
		x.c.control.stop()
	}
	wait(ctx, away)
	x.startControl()
}

func (x *chaos) startControl() {
	x.c.control.start()
	x.c.up()
	x.restarts.Add(1)
}

// freeze stops a process for a while without ending it.
func (x *chaos) freeze(ctx context.Context, n *chaosNode, d time.Duration) {
	n.alive.Add(1)
	if err := n.proc.Signal(syscall.SIGSTOP); err != nil {
		x.fault("%v", err)
	}
	wait(ctx, d)
	if err := n.proc.Signal(syscall.SIGCONT); err != nil {
		x.fault("%v", err)
	}
	n.alive.Add(1)
}

func (x *chaos) restartNode(ctx context.Context, n *chaosNode, kill, damage bool) {
	x.restartNodeWhile(ctx, n, kill, damage, func() {})
}

// restartNodeWhile ends a node, starts it, does what is given and waits until it has
// caught up.
func (x *chaos) restartNodeWhile(ctx context.Context, n *chaosNode, kill, damage bool, then func()) {
	n.life.Add(1)
	n.alive.Add(1)
	// Three in a row are a crash loop, in which a node refuses what it has tried: with a
	// configuration that changes all the time nothing else is on its disk.
	if n.kills++; n.kills == 3 {
		kill = false
	}
	if !kill {
		n.kills = 0
	}
	if kill {
		n.kill()
	} else {
		n.stop()
	}
	if damage {
		x.damage(n)
	}
	wait(ctx, time.Duration(x.rnd.IntN(300))*time.Millisecond)
	n.start()
	n.ready()
	n.alive.Add(1)
	then()
	// From now on it must not answer from before what the control plane has at this time.
	x.control.RLock()
	defer x.control.RUnlock()
	revision := x.c.must("PATCH", "/services/one", object{"tags": []string{fmt.Sprint(x.now())}}, 200).header.Get("X-Sluice-Revision")
	eventually(x.t, 2*time.Minute, func() error {
		r := n.status.try("GET", "/status", nil)
		if err := r.is(200); err != nil {
			return err
		}
		at, _ := r.at("configuration", "position", "revision").(float64)
		if at < float64(number(revision)) {
			return fmt.Errorf("the node is at %v, not at %s", at, revision)
		}
		return nil
	}, n.program)
	n.life.Add(1)
	x.restarts.Add(1)
}

// damage flips a bit in a file of the node's cache.
func (x *chaos) damage(n *chaosNode) {
	files := n.cached()
	path := files[x.rnd.IntN(len(files))]
	data, err := os.ReadFile(path)
	if err != nil || len(data) == 0 {
		return
	}
	data[x.rnd.IntN(len(data))] ^= 1 << x.rnd.IntN(8)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		x.t.Fatal(err)
	}
}

// heal lets everything be whole.
func (x *chaos) heal() {
	for _, n := range x.nodes {
		n.link.Set(relay.Pass)
	}
}

// observed is a read: its value, and when it began and ended.
type observed struct {
	value      string
	start, end int64
}

// linearizable checks the reads of a register that has one writer, whose writes therefore
// come in a known order. Such a history is linearizable when no read sees what was not yet
// begun, misses what had taken place before it began, or sees less than a read that ended
// before it began. writes must be in order, and each must start after the one before it.
func linearizable(writes []written, reads []observed) error {
	at := make(map[string]int, len(writes))
	for i, w := range writes {
		at[w.value] = i
	}
	byStart := slices.SortedFunc(slices.Values(reads), func(a, b observed) int { return cmp.Compare(a.start, b.start) })
	byEnd := slices.SortedFunc(slices.Values(reads), func(a, b observed) int { return cmp.Compare(a.end, b.end) })
	seen, ended := -1, 0 // the newest that a read had seen which ended before
	done := -1           // the newest write that had taken place before
	for _, r := range byStart {
		i, ok := at[r.value]
		if !ok {
			return fmt.Errorf("%q was never written", r.value)
		}
		for ; ended < len(byEnd) && byEnd[ended].end < r.start; ended++ {
			seen = max(seen, at[byEnd[ended].value])
		}
		for done+1 < len(writes) && writes[done+1].end != 0 && writes[done+1].end < r.start {
			done++
		}
		switch {
		case writes[i].start > r.end:
			return fmt.Errorf("%s was read at %v and written at %v", r.value, time.Duration(r.end), time.Duration(writes[i].start))
		case i < done:
			return fmt.Errorf("%s was read at %v, and %s had been applied by all at %v", r.value, time.Duration(r.start), writes[done].value, time.Duration(writes[done].end))
		case i < seen:
			return fmt.Errorf("%s was read at %v after %s", r.value, time.Duration(r.start), writes[seen].value)
		}
	}
	return nil
}

// TestLinearizable holds the checker itself.
func TestLinearizable(t *testing.T) {
	writes := []written{{value: "a", start: 0, end: 10}, {value: "b", start: 20, end: 30}, {value: "c", start: 40}}
	for name, test := range map[string]struct {
		reads []observed
		good  bool
	}{
		"in order":                {[]observed{{"a", 12, 13}, {"b", 31, 32}, {"c", 50, 51}}, true},
		"during a write":          {[]observed{{"a", 21, 22}, {"b", 23, 24}}, true},
		"at the same time":        {[]observed{{"b", 21, 25}, {"a", 22, 24}}, true},
		"back during a write":     {[]observed{{"b", 21, 22}, {"a", 23, 24}}, false},
		"old after a write":       {[]observed{{"a", 31, 32}}, false},
		"never written":           {[]observed{{"x", 31, 32}}, false},
		"before it was written":   {[]observed{{"c", 31, 32}}, false},
		"never applied by all":    {[]observed{{"b", 1000, 1001}}, true},
		"back from what was seen": {[]observed{{"c", 50, 51}, {"b", 1000, 1001}}, false},
	} {
		if err := linearizable(writes, test.reads); (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// judge checks the history while it is made, and ends the run when it is wrong: what the
// processes wrote last is then what they wrote about it.
func (x *chaos) judge(ctx context.Context, stop context.CancelFunc) {
	every := time.NewTicker(5 * time.Second)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
		for _, r := range x.registers {
			for _, n := range x.nodes {
				// Reads first: what they saw is then among the writes.
				n.mu.Lock()
				reads := slices.Clone(n.reads[r.name])
				n.mu.Unlock()
				r.mu.Lock()
				writes := slices.Clone(r.writes)
				r.mu.Unlock()
				if err := linearizable(writes, reads); err != nil {
					stop()
					return
				}
			}
		}
	}
}

// finish checks the history, and that what was acknowledged last is there.
func (x *chaos) finish() {
	x.t.Helper()
	for _, r := range x.registers {
		last := r.writes[len(r.writes)-1]
		if got := x.c.get("/plugins/"+r.plugin).text("config", "body"); got != last.value {
			x.t.Errorf("%s is %s in the end, acknowledged was %s", r.name, got, last.value)
		}
		for _, n := range x.nodes {
			if got := string(n.get("/" + r.name).body); got != last.value {
				x.t.Errorf("%s is %s at %s in the end, acknowledged was %s", r.name, got, n.label, last.value)
			}
			if err := linearizable(r.writes, n.reads[r.name]); err != nil {
				x.t.Errorf("the history of %s at %s is not linearizable: %v", r.name, n.label, err)
			}
		}
	}
	if x.t.Failed() {
		x.t.Logf("the last faults:\n%s", strings.Join(x.story[max(0, len(x.story)-30):], "\n"))
	}
	x.t.Logf("%d requests, %d writes of which %d were waited for by all, %d reads in the history, %d restarts; faults %v",
		x.asked.Load(), x.writes.Load(), x.waited.Load(), x.reads.Load(), x.restarts.Load(), x.happened)
	if x.asked.Load() == 0 || x.waited.Load() == 0 || x.reads.Load() == 0 {
		x.t.Error("the run shows nothing")
	}
}
