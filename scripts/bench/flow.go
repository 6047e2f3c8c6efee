package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// flow is a case of the second table: work that wrk can't make, of which a loader in this
// process does as much as it can in a given time. What the loader itself costs does not
// count, only what the proxy's processes spend for each operation.
type flow struct {
	name string
	// unit of what run counts, such as "message"; goal is the ratio to nginx's CPU per
	// unit that performance.md asks for, at most.
	unit string
	goal float64
	// run works through the proxy until ctx ends, and returns the number of units.
	run func(ctx context.Context, s *stack, p proxyKind) (int64, error)
}

// flowRow is a flow's result for one proxy.
type flowRow struct {
	Name      string    `json:"case"`
	Proxy     proxyKind `json:"proxy"`
	Unit      string    `json:"unit"`
	Goal      float64   `json:"goal,omitempty"`
	CPU       []float64 `json:"cpu_us_per_unit"`
	PerSecond []float64 `json:"units_per_second"`
}

// mega is the unit of bodies, in bytes.
const mega = 1 << 20

// flows: four fifths of nginx's messages per CPU second are 1.25 of its CPU per message.
func flows() []flow {
	return []flow{
		{"WebSocket echo, 64 sockets", "message", 1.25, webSockets},
		{"gRPC unary, h2c", "call", 1.25, unary},
		{"gRPC stream, h2c", "message", 1.25, streaming},
		{"1 GiB download", "MiB", 1, download},
		{"1 GiB upload", "MiB", 1, upload},
	}
}

// measureFlows measures in interleaved rounds.
func (s *stack) measureFlows(ctx context.Context, list []flow, rounds int, each time.Duration) ([]*flowRow, error) {
	if err := s.configure(ctx, testCase{name: "flows", proxy: sluice, config: s.flowConfig(), path: "/r0"}); err != nil {
		return nil, err
	}
	var rows []*flowRow
	for _, f := range list {
		for _, p := range []proxyKind{nginx, sluice} {
			rows = append(rows, &flowRow{Name: f.name, Proxy: p, Unit: f.unit, Goal: f.goal})
		}
	}
	for round := range rounds {
		fmt.Printf("flows, round %d of %d: %d cases of %v\n", round+1, rounds, len(rows), each)
		for i, f := range list {
			for k, p := range []proxyKind{nginx, sluice} {
				cpu, rate, err := s.measureFlow(ctx, f, p, each)
				if err != nil {
					return nil, fmt.Errorf("%s through %s: %w", f.name, p, err)
				}
				row := rows[2*i+k]
				row.CPU, row.PerSecond = append(row.CPU, cpu), append(row.PerSecond, rate)
			}
		}
	}
	return rows, nil
}

func (s *stack) measureFlow(ctx context.Context, f flow, p proxyKind, each time.Duration) (cpu, rate float64, err error) {
	pid := s.measured[p].PID()
	before, err := cpuTime(pid)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	// No deadline: gRPC would send it along, and the upstream could end calls first.
	bounded, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.AfterFunc(each, cancel)
	defer timer.Stop()
	n, err := f.run(bounded, s, p)
	took := time.Since(began)
	if err != nil || ctx.Err() != nil {
		return 0, 0, err
	}
	if n == 0 {
		return 0, 0, fmt.Errorf("nothing came through in %v", took)
	}
	after, err := cpuTime(pid)
	if err != nil {
		return 0, 0, err
	}
	return float64((after - before).Nanoseconds()) / 1e3 / float64(n), float64(n) / took.Seconds(), nil
}

func printFlows(out io.Writer, rows []*flowRow) {
	_, _ = fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "flow\tproxy\tunit\tCPU us/unit\tto nginx\tgoal\tunits/s\tto nginx\t")
	for i, row := range rows {
		base := rows[i-i%2]
		ratio := func(of func(r *flowRow) []float64) float64 {
			values := make([]float64, len(row.CPU))
			for k := range values {
				values[k] = of(row)[k] / of(base)[k]
			}
			return median(values)
		}
		goal := "-"
		if row.Proxy == sluice {
			goal = fmt.Sprintf("%.2f", row.Goal)
		}
		cpu, rate := ratio(func(r *flowRow) []float64 { return r.CPU }), ratio(func(r *flowRow) []float64 { return r.PerSecond })
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%.1f\t%.2f\t%s\t%.0f\t%.2f\t\n", row.Name, row.Proxy, row.Unit,
			median(slices.Clone(row.CPU)), cpu, goal, median(slices.Clone(row.PerSecond)), rate)
	}
	_ = table.Flush()
}
