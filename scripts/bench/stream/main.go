// Command stream measures the link between a control plane and its data planes: how
// long after the Admin API's answer the last of many nodes has a change, what a node
// costs, and what happens when either plane restarts. It starts a real control plane, a
// real data plane and a process with thousands of nodes that speak the protocol, all on
// 127.0.0.1, and prints the goals beside what it measured. It ends what it started.
//
// The nodes share the machine with what they measure, as the goals say; a busy machine
// shows in every line, so the load average is printed above the table.
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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	seconds int
	full    bool
	only    string
	nodes   int
	bin     string
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "-play" {
		if err := play(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "played nodes:", err)
			os.Exit(1)
		}
		return
	}
	// A child ends with the thread that started it, so that thread must stay.
	runtime.LockOSThread()
	var o options
	flag.IntVar(&o.seconds, "seconds", 240, "about how long all of it may take; what does not fit is named")
	flag.BoolVar(&o.full, "full", false, "measure with a million routes as well, and more often; takes half an hour and 12 GB")
	flag.StringVar(&o.only, "only", "", "run only the parts whose name holds this: "+strings.Join(names(), ", "))
	flag.IntVar(&o.nodes, "nodes", 5000, "how many nodes the largest fleet has")
	flag.StringVar(&o.bin, "bin", "bin", "folder of the built programs")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-stream:", err)
		os.Exit(1)
	}
}

func run(o options) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if !slices.ContainsFunc(names(), func(name string) bool { return strings.Contains(name, o.only) }) {
		return fmt.Errorf("-only: no part has %q in its name; there are %s", o.only, strings.Join(names(), ", "))
	}
	if o.full {
		o.seconds = max(o.seconds, 3600)
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sluice-bench-stream")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b := &bench{o: o, dir: dir, self: self, until: time.Now().Add(time.Duration(o.seconds) * time.Second), latencies: map[string]float64{}}
	fmt.Printf("%d cores, load %s, commit %s\n", runtime.NumCPU(), load(), commit())
	err = b.all(ctx)
	fmt.Printf("load at the end %s\n\n", load())
	return errors.Join(err, b.table.show(os.Stdout))
}

// bench is one run.
type bench struct {
	o         options
	dir, self string
	until     time.Time
	table     table
	latencies map[string]float64 // p99 in ms by fleet, of the smallest configuration
	small     string             // how large that is
}

func (b *bench) all(ctx context.Context) error {
	sizes := []int{1_000, 100_000}
	if b.o.full {
		sizes = append(sizes, 1_000_000)
	}
	for _, routes := range sizes {
		if err := b.size(ctx, routes); err != nil {
			return fmt.Errorf("with %s routes: %w", short(routes), err)
		}
	}
	return nil
}

// part is what can be measured alone, with configurations of some sizes.
type part struct {
	name string
	run  func(b *bench, ctx context.Context, p *planes, at string) error
	at   func(routes int) bool
}

// parts measure all goals, in this order.
var parts = []part{
	{"write", (*bench).writes, large},
	{"size", (*bench).oneChange, large},
	{"latency", (*bench).latency, func(int) bool { return true }},
	{"fleet", (*bench).fleet, func(routes int) bool { return routes == 1_000 }},
	{"load", (*bench).underLoad, func(routes int) bool { return routes == 100_000 }},
	{"repair", (*bench).repair, large},
	{"disk", (*bench).fromDisk, large},
}

func large(routes int) bool { return routes > 1_000 }

func names() (out []string) {
	for _, p := range parts {
		out = append(out, p.name)
	}
	return out
}

// size measures with a configuration of some size.
func (b *bench) size(ctx context.Context, routes int) (err error) {
	wanted := slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return !p.at(routes) || !strings.Contains(p.name, b.o.only) })
	if len(wanted) == 0 {
		return nil
	}
	at := short(routes) + " routes"
	fmt.Printf("%s: loading\n", at)
	p, err := startPlanes(ctx, filepath.Join(b.dir, short(routes)), b.o.bin, routes)
	if p != nil {
		defer func() { err = errors.Join(err, p.stop()) }()
	}
	if err != nil {
		return err
	}
	fmt.Printf("%s: loaded in %.1f s\n", at, p.loaded.Seconds())
	for _, part := range wanted {
		if time.Now().After(b.until) {
			b.table.skip(part.name, at, "the time was over; give more with -seconds")
			continue
		}
		began := time.Now()
		if err := part.run(b, ctx, p, at); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		fmt.Printf("%s: %s took %.1f s\n", at, part.name, time.Since(began).Seconds())
	}
	return nil
}

func short(n int) string {
	switch {
	case n >= 1_000_000:
		return strconv.Itoa(n/1_000_000) + "M"
	case n >= 1_000:
		return strconv.Itoa(n/1_000) + "k"
	}
	return strconv.Itoa(n)
}

func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(data))[:3], " ")
}

func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
