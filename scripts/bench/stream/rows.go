package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// writes measures durable writes that nobody follows but the data plane.
func (b *bench) writes(ctx context.Context, p *planes, at string) error {
	n := 200
	if b.o.full {
		n = 1000
	}
	var took []time.Duration
	for range n {
		_, _, d, err := p.change(ctx, rand.IntN(p.routes))
		if err != nil {
			return err
		}
		took = append(took, d)
		time.Sleep(2 * time.Millisecond) // one at a time, not as fast as it goes
	}
	method := fmt.Sprintf("PATCH of a route, %d of them one after the other, fsync included", n)
	b.table.add("durable Admin write, p50", at, goal{4, 1.5}, ms(quantile(took, 0.5)), "ms", "", method)
	b.table.add("durable Admin write, p99", at, goal{25, 10}, ms(quantile(took, 0.99)), "ms", "", method)
	return nil
}

// oneChange measures what a change of one route costs on the wire and in the node.
func (b *bench) oneChange(ctx context.Context, p *planes, at string) error {
	var bytes, up []float64
	var applied []time.Duration
	time.Sleep(time.Second)
	for i := range 60 {
		before, sent := p.relay.Bytes(), p.relay.Up.Load()
		revision, _, _, err := p.change(ctx, i*37)
		if err != nil {
			return err
		}
		if _, err := p.follows(ctx, revision); err != nil {
			return err
		}
		time.Sleep(150 * time.Millisecond) // the disk, and who says so
		bytes, up = append(bytes, float64(p.relay.Bytes()-before)), append(up, float64(p.relay.Up.Load()-sent))
	}
	// Enough of them for a percentile, and nobody asks while a node is at it: who does takes
	// a core that it needs.
	for i := range 400 {
		if _, _, _, err := p.change(ctx, i*37); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
		d, err := p.applyTime(ctx)
		if err != nil {
			return err
		}
		applied = append(applied, d)
	}
	b.table.add("bytes a node for a change of one route", at, goal{700, 400}, median(bytes), "B", number(median(up))+" of them from the node",
		"TCP payload both ways between both planes, TLS and acks included; median of 60, so without heartbeats")
	b.table.add("change in the node, p99", at, goal{1, 0.1}, ms(quantile(applied, 0.99)), "ms", fmt.Sprintf("p50 %s", quantile(applied, 0.5)),
		"what the data plane says of 400 changes: last byte received to serving (decode, hash, router, plan, swap)")
	return nil
}

// latency measures from the Admin API's answer to the last node.
func (b *bench) latency(ctx context.Context, p *planes, at string) error {
	if err := b.toServed(ctx, p, at); err != nil {
		return err
	}
	f, err := b.play(ctx, p)
	if err != nil {
		return err
	}
	defer f.stop()
	fleets := []struct {
		nodes  int
		goal   goal
		rounds int
	}{{1, goal{10, 5}, 100}, {100, goal{30, 20}, 100}, {1_000, goal{150, 100}, 60}, {5_000, goal{800, 500}, 30}}
	for _, fl := range fleets {
		nodes := min(fl.nodes, b.o.nodes)
		if _, err := f.do(order{Resize: &nodes, Timeout: 3 * time.Minute}); err != nil {
			return err
		}
		var last []time.Duration
		for range fl.rounds {
			time.Sleep(30 * time.Millisecond) // a change of a quiet system
			revision, written, _, err := p.change(ctx, rand.IntN(p.routes))
			if err != nil {
				return err
			}
			a, err := f.do(order{Applied: &appliedOrder{Revision: revision, Nodes: nodes}})
			if err != nil {
				return err
			}
			last = append(last, max(0, time.Unix(0, a.Last).Sub(written)))
		}
		key := strconv.Itoa(nodes)
		p99 := ms(quantile(last, 0.99))
		p50 := ms(quantile(last, 0.5))
		besides := fmt.Sprintf("p50 %s", number(p50))
		if b.small == "" || b.small == at {
			b.small = at
			b.latencies[key] = p50
		}
		method := fmt.Sprintf("%d writes; played nodes on connections of their own", fl.rounds)
		b.table.add("Admin answer to applied on the last of "+key+", p99", at, fl.goal, p99, "ms", besides, method)
		if b.small != at && b.latencies[key] > 0 {
			b.table.add("the same, to that of "+b.small, at, goal{1.5, 1.1}, p50/max(b.latencies[key], 1), "x", "", "ratio of the medians; what is below 1 ms counts as 1 ms")
		}
	}
	return nil
}

// toServed measures with the data plane and requests.
func (b *bench) toServed(ctx context.Context, p *planes, at string) error {
	var took []time.Duration
	for i := range 60 {
		path := fmt.Sprintf("/fresh-%d-%d", time.Now().UnixNano(), i)
		_, _, err := p.call(ctx, "PATCH", fmt.Sprintf("http://%s/routes/r0-%d", p.admin, 1+i%50), map[string]any{"paths": []string{path}}, 200)
		if err != nil {
			return err
		}
		written := time.Now()
		for {
			_, _, err := p.call(ctx, "GET", "http://"+p.proxy+path, nil, 200)
			if err == nil {
				break
			}
			if time.Since(written) > 20*time.Second {
				return err
			}
		}
		took = append(took, time.Since(written))
	}
	b.table.add("Admin answer to the first 200 of a new path, p99", at, goal{10, 5}, ms(quantile(took, 0.99)), "ms",
		fmt.Sprintf("p50 %s", number(ms(quantile(took, 0.5)))), "the real data plane, asked without a pause; 60 changes")
	return nil
}

// play starts the process with the nodes. They say they serve what the data plane serves.
func (b *bench) play(ctx context.Context, p *planes) (*player, error) {
	revision, _, _, err := p.change(ctx, 0)
	if err != nil {
		return nil, err
	}
	at, err := p.follows(ctx, revision)
	if err != nil {
		return nil, err
	}
	f, err := startPlayer(b.self)
	if err != nil {
		return nil, err
	}
	_, err = f.do(order{Start: &startOrder{Address: p.stream, Certificate: p.certificate(), Key: p.key(), Position: at}})
	if err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

// fleet measures what many nodes cost at rest, when changes come and when they all come
// back at once.
func (b *bench) fleet(ctx context.Context, p *planes, at string) error {
	f, err := b.play(ctx, p)
	if err != nil {
		return err
	}
	defer f.stop()
	n := b.o.nodes
	// A fresh process, whose heap has not known more than this.
	if err := b.restart(ctx, p); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	empty, err := usageOf(p.control)
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := f.do(order{Resize: &n, Timeout: 5 * time.Minute}); err != nil {
		return err
	}
	joined := time.Since(began)
	after, err := usageOf(p.control)
	if err != nil {
		return err
	}
	settle := 20 * time.Second
	if b.o.full {
		settle = 150 * time.Second
	}
	time.Sleep(settle)
	idle, err := usageOf(p.control)
	if err != nil {
		return err
	}
	kib := func(u usage) float64 { return float64(u.resident-empty.resident) / float64(n) / 1024 }
	b.table.add("control plane memory an idle node", fmt.Sprintf("%d nodes", n), goal{64, 40}, kib(idle), "KiB",
		fmt.Sprintf("%s right after they joined, in %.1f s", number(kib(after)), joined.Seconds()),
		fmt.Sprintf("resident memory above that without nodes, %v after they joined", settle))
	b.table.add("control plane CPU for an idle fleet", fmt.Sprintf("%d nodes", n), goal{}, 100*(idle.cpu-after.cpu).Seconds()/settle.Seconds(), "% of a core", "",
		"heartbeats both ways every 5 s")
	if err := b.deliveries(ctx, p, f, n); err != nil {
		return err
	}
	return b.comeBack(ctx, p, f, n)
}

// restart ends the control plane as a crash does and starts it again.
func (b *bench) restart(ctx context.Context, p *planes) error {
	p.control.Kill()
	return p.startControl(ctx)
}

// deliveries measures what one delivery with its acks costs the control plane.
func (b *bench) deliveries(ctx context.Context, p *planes, f *player, n int) error {
	const changes = 20
	cost := func(wait int) (cpu, took time.Duration, delivered int64, err error) {
		before, err := usageOf(p.control)
		if err != nil {
			return 0, 0, 0, err
		}
		seen, err := f.do(order{})
		if err != nil {
			return 0, 0, 0, err
		}
		began := time.Now()
		for i := range changes {
			revision, _, _, err := p.change(ctx, i)
			if err != nil {
				return 0, 0, 0, err
			}
			if wait > 0 {
				if _, err := f.do(order{Applied: &appliedOrder{Revision: revision, Nodes: wait}}); err != nil {
					return 0, 0, 0, err
				}
			}
		}
		time.Sleep(300 * time.Millisecond) // the last PERSISTED
		took = time.Since(began)
		after, err := usageOf(p.control)
		if err != nil {
			return 0, 0, 0, err
		}
		now, err := f.do(order{})
		return after.cpu - before.cpu, took, now.Seen.Deliveries - seen.Seen.Deliveries, err
	}
	cpu, took, delivered, err := cost(n)
	if err != nil {
		return err
	}
	// What the same takes without the fleet: idle heartbeats and writes.
	zero := 0
	if _, err := f.do(order{Resize: &zero}); err != nil {
		return err
	}
	time.Sleep(time.Second)
	base, _, _, err := cost(0)
	if err != nil {
		return err
	}
	if _, err := f.do(order{Resize: &n, Timeout: 5 * time.Minute}); err != nil {
		return err
	}
	if delivered == 0 {
		return errors.New("nothing was delivered")
	}
	b.table.add("control plane CPU a delivery with its acks", fmt.Sprintf("%d nodes", n), goal{45, 30}, float64((cpu-base).Microseconds())/float64(delivered), "us",
		fmt.Sprintf("%d deliveries in %.1f s", delivered, took.Seconds()),
		"scheduler time of the process for frame, APPLIED and PERSISTED, without what the writes take")
	return nil
}

// comeBack measures how long a fleet needs after the control plane's restart.
func (b *bench) comeBack(ctx context.Context, p *planes, f *player, n int) error {
	before, err := f.do(order{Connected: &n, Timeout: 2 * time.Minute})
	if err != nil {
		return err
	}
	began := time.Now()
	if err := b.restart(ctx, p); err != nil {
		return err
	}
	up := time.Since(began)
	// The old connections end with the process; wait for as many new welcomes.
	var a answer
	for a.Seen.Welcomes < before.Seen.Welcomes+int64(n) {
		if a, err = f.do(order{}); err != nil {
			return err
		}
		if time.Since(began) > 2*time.Minute {
			return fmt.Errorf("%d of %d nodes came back: %s", a.Seen.Welcomes-before.Seen.Welcomes, n, a.Seen.Error)
		}
		time.Sleep(20 * time.Millisecond)
	}
	took := time.Unix(0, a.Seen.LastWelcome).Sub(began)
	used, err := usageOf(p.control)
	if err != nil {
		return err
	}
	chunks := a.Seen.Chunks - before.Seen.Chunks
	what := strconv.FormatInt(chunks, 10) + " snapshot chunks sent"
	b.table.add("all nodes come back after a restart", fmt.Sprintf("%d nodes", n), goal{12, 6}, took.Seconds(), "s",
		fmt.Sprintf("%s, %d dials, %.1f s CPU, the Admin API after %.1f s", what, a.Seen.Dials-before.Seen.Dials, used.cpu.Seconds(), up.Seconds()),
		"from kill -9 to the last welcome; handshakes, backoff with jitter and the start of the process included")
	if chunks != 0 {
		b.table.rows[len(b.table.rows)-1].verdict = "miss"
	}
	return nil
}

// fromDisk measures the start of a data plane while no control plane is there.
func (b *bench) fromDisk(ctx context.Context, p *planes, at string) error {
	g := goal{0.8, 0.4}
	rounds := 5
	if p.routes >= 1_000_000 {
		g, rounds = goal{8, 4}, 2
	}
	p.control.Kill()
	var took, cpu []float64
	for range rounds {
		if err := p.data.Stop(30 * time.Second); err != nil {
			return err
		}
		began := time.Now()
		if err := p.startData(ctx); err != nil {
			return err
		}
		took = append(took, time.Since(began).Seconds())
		u, err := usageOf(p.data)
		if err != nil {
			return err
		}
		cpu = append(cpu, u.cpu.Seconds())
	}
	slices.Sort(took)
	b.table.add("start to the first 200 from disk, no control plane", at, g, median(took), "s",
		fmt.Sprintf("%.2f to %.2f, CPU %.2f", took[0], took[len(took)-1], median(cpu)), fmt.Sprintf("median of %d; exec of the data plane to a proxied answer", rounds))
	return p.startControl(ctx)
}
