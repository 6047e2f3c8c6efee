package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// loader sends requests over keep-alive connections.
type loader struct {
	address, path string
	connections   int
}

// run sends rate requests a second for a while, or as many as it can when rate is 0, and
// returns how long each took from when it was due.
func (l *loader) run(ctx context.Context, rate float64, length time.Duration) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	var errs []error
	var work sync.WaitGroup
	began := time.Now()
	for i := range l.connections {
		work.Go(func() {
			took, err := l.one(ctx, i, rate/float64(l.connections), began, length)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if err != nil {
				errs = append(errs, err)
			}
		})
	}
	work.Wait()
	return all, errors.Join(errs...)
}

func (l *loader) one(ctx context.Context, i int, rate float64, began time.Time, length time.Duration) ([]time.Duration, error) {
	c, err := net.Dial("tcp", l.address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	request := []byte("GET " + l.path + " HTTP/1.1\r\nHost: bench\r\n\r\n")
	r := bufio.NewReader(c)
	var took []time.Duration
	var every time.Duration
	due := began
	if rate > 0 {
		every = time.Duration(float64(time.Second) / rate)
		due = due.Add(time.Duration(i) * every / time.Duration(l.connections))
	}
	for ctx.Err() == nil {
		now := time.Now()
		if now.Sub(began) > length {
			return took, nil
		}
		if every == 0 {
			due = now
		} else if d := due.Sub(now); d > 0 {
			time.Sleep(d)
		}
		if _, err := c.Write(request); err != nil {
			return took, err
		}
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return took, err
		}
		_, err = io.Copy(io.Discard, answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			return took, err
		}
		if answer.StatusCode != 200 {
			return took, fmt.Errorf("status %d under load", answer.StatusCode)
		}
		took = append(took, time.Since(due))
		due = due.Add(every)
	}
	return took, ctx.Err()
}

// changesPerSecond is what the goal says.
const changesPerSecond = 100

// underLoad compares the latency of requests while nothing changes with that while the
// configuration changes a hundred times a second.
func (b *bench) underLoad(ctx context.Context, p *planes, at string) error {
	l := &loader{address: p.proxy, path: "/s0/r0", connections: 16}
	most, err := l.run(ctx, 0, 3*time.Second)
	if err != nil {
		return err
	}
	peak := float64(len(most)) / 3
	rate := peak * 0.7
	rounds, length := 3, 4*time.Second
	if b.o.full {
		rounds, length = 7, 10*time.Second
	}
	var quiet, busy, ratio []float64
	made := 0
	for range rounds {
		took, err := l.run(ctx, rate, length)
		if err != nil {
			return err
		}
		q := ms(quantile(took, 0.99))
		changing, stop := context.WithCancel(ctx)
		var work sync.WaitGroup
		var n int
		var changeErr error
		work.Go(func() { n, changeErr = changeOften(changing, p) })
		took, err = l.run(ctx, rate, length)
		stop()
		work.Wait()
		if err := errors.Join(err, changeErr); err != nil {
			return err
		}
		made += n
		c := ms(quantile(took, 0.99))
		quiet, busy, ratio = append(quiet, q), append(busy, c), append(ratio, c/q)
	}
	b.table.add("request p99 during 100 changes/s to that without", at, goal{1.1, 1.05}, median(ratio), "x",
		fmt.Sprintf("%s ms to %s ms at %.0f requests/s, %.0f changes/s", number(median(busy)), number(median(quiet)), rate, float64(made)/(float64(rounds)*length.Seconds())),
		fmt.Sprintf("70 %% of the most that %d connections got; %d rounds; Admin API, load and both planes share the cores", l.connections, rounds))
	return nil
}

// changeOften changes routes until ctx ends, and returns how many it changed.
func changeOften(ctx context.Context, p *planes) (n int, err error) {
	ticker := time.NewTicker(time.Second / changesPerSecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return n, nil
		case <-ticker.C:
		}
		if _, _, _, err := p.change(context.WithoutCancel(ctx), 1+rand.IntN(p.routes-1)); err != nil {
			return n, err
		}
		n++
	}
}
