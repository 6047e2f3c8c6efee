// Command bench compares the built data plane with nginx and HAProxy on this
// machine, in interleaved rounds, by what one request costs in CPU time. It owns
// every process that it starts, on ports that it found free, and proves by a token
// in the answer that it measures its own. It refuses to judge: it prints ratios.
//
// Read the ratios, not the times: load, upstream and proxy share the machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

type options struct {
	seconds     int
	rounds      int
	connections int
	only        string
	noFlows     bool
	plugins     bool
	changes     bool
	many        bool
	bin         string
	write       bool
	routers     bool
	scale       int
}

func main() {
	// A child ends with the thread that started it, so that thread must stay.
	runtime.LockOSThread()
	var o options
	flag.IntVar(&o.seconds, "seconds", 240, "about how long all of it may take")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; the medians of them are printed")
	flag.IntVar(&o.connections, "connections", 64, "keep-alive connections of the load")
	flag.StringVar(&o.only, "case", "", "run only the cases whose name holds this")
	flag.BoolVar(&o.plugins, "plugins", false, "measure what each plugin adds, and nothing else")
	flag.BoolVar(&o.changes, "changes", false, "measure the latency while the configuration changes, and nothing else")
	flag.BoolVar(&o.many, "many", false, "measure what requests cost among many routes, and nothing else")
	flag.BoolVar(&o.noFlows, "no-flows", false, "leave out WebSocket, gRPC, large bodies, idle connections, latency, many routes and changes")
	flag.StringVar(&o.bin, "bin", "bin", "folder of the built programs")
	flag.BoolVar(&o.write, "write", false, "write the result into scripts/bench/results as well")
	flag.BoolVar(&o.routers, "routers", false, "compare the router with those of Go instead, in a table of its own")
	flag.IntVar(&o.scale, "router-scale", 1, "divide the sizes of the routers' sets by this")
	flag.Parse()
	start := run
	if o.routers {
		start = compareRouters
	}
	if err := start(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	for _, tool := range []string{"wrk", "nginx", "haproxy"} {
		if _, err := lookTool(tool); err != nil {
			return fmt.Errorf("%w; scripts/deps.sh installs it", err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "sluice-bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	s := &stack{dir: dir, bin: o.bin}
	defer func() { err = errors.Join(err, s.stop()) }()
	fmt.Println("starting nginx, HAProxy, a control plane and a data plane")
	if err := s.start(ctx); err != nil {
		return err
	}
	if o.plugins {
		rows, err := s.measurePlugins(ctx, o.rounds, max(1, o.seconds/(o.rounds*2*(1+len(s.pluginCases())))), o.connections)
		if err == nil {
			printPlugins(os.Stdout, rows)
		}
		return err
	}
	if o.changes {
		row, err := s.changes(ctx, o.rounds, 4*time.Second)
		if err == nil {
			printChanges(os.Stdout, row)
		}
		return err
	}
	if o.many {
		rows, err := s.scale(ctx, o.rounds, o.connections)
		if err == nil {
			printScale(os.Stdout, rows)
		}
		return err
	}
	cases := selected(s.cases(), o.only)
	if len(cases) == 0 {
		return fmt.Errorf("no case has %q in its name", o.only)
	}
	// wrk takes whole seconds. One of each run warms up, and a twentieth of the time is
	// for the start and for the latency of writes.
	each := o.seconds*19/20/(o.rounds*len(cases)) - 1
	if each < 1 {
		return fmt.Errorf("%d s are too short for %d rounds of %d cases", o.seconds, o.rounds, len(cases))
	}
	r := &result{Machine: machine(), Connections: o.connections, Rounds: o.rounds, Seconds: each}
	for round := range o.rounds {
		fmt.Printf("round %d of %d: %d cases of %d s\n", round+1, o.rounds, len(cases), each)
		for _, c := range cases {
			m, err := s.measure(ctx, c, each, o.connections)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			r.add(c, m)
		}
	}
	if !o.noFlows && o.only == "" {
		if r.Flows, err = s.measureFlows(ctx, flows(), min(3, o.rounds), 3*time.Second); err != nil {
			return err
		}
		if r.Low, err = s.lowLoad(ctx); err != nil {
			return err
		}
		if r.Idle, err = s.idle(ctx, idleConnections); err != nil {
			return err
		}
		if r.Scale, err = s.scale(ctx, o.rounds, o.connections); err != nil {
			return err
		}
		if r.Changes, err = s.changes(ctx, min(3, o.rounds), 4*time.Second); err != nil {
			return err
		}
	}
	if r.Write, err = s.writeLatency(ctx, 60); err != nil {
		return err
	}
	r.print(os.Stdout)
	if o.write {
		return r.save(filepath.Join("scripts", "bench", "results"))
	}
	return nil
}

func selected(cases []testCase, only string) []testCase {
	var out []testCase
	for _, c := range cases {
		// The baselines are always needed.
		if only == "" || c.proxy == nginx || strings.Contains(c.name, only) {
			out = append(out, c)
		}
	}
	return out
}

// lookTool finds a program also where Debian keeps those of the administrator.
func lookTool(name string) (string, error) {
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}
