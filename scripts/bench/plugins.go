package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"text/tabwriter"
)

// pluginRow is what a plugin adds to the CPU time of a request, in microseconds; the median
// over the rounds, each against the bare route of the same round.
type pluginRow struct {
	Name  string    `json:"plugin"`
	Added []float64 `json:"added_cpu_us"`
	// Ratio is the CPU per request to that of the bare route.
	Ratio []float64 `json:"to_bare_route"`
}

// openDrain listens on the address drain over TCP and UDP, and throws away what comes.
func (s *stack) openDrain(ctx context.Context) (closeAll func(), err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.drain)
	if err != nil {
		return nil, err
	}
	datagrams, err := new(net.ListenConfig).ListenPacket(ctx, "udp", s.drain)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	go func() {
		for b := make([]byte, 1<<16); ; {
			if _, _, err := datagrams.ReadFrom(b); err != nil {
				return
			}
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
	return func() { _, _ = l.Close(), datagrams.Close() }, nil
}

// measurePlugins measures each plugin alone on a route.
func (s *stack) measurePlugins(ctx context.Context, rounds, each, connections int) ([]*pluginRow, error) {
	closeDrain, err := s.openDrain(ctx)
	if err != nil {
		return nil, err
	}
	defer closeDrain()
	cases := s.pluginCases()
	rows := make([]*pluginRow, len(cases))
	bare := testCase{name: "bare", proxy: sluice, config: s.config("", 1, 1), path: "/r0"}
	for round := range rounds {
		fmt.Printf("plugins, round %d of %d: %d cases of %d s\n", round+1, rounds, len(cases), each)
		base, err := s.measure(ctx, bare, each, connections)
		if err != nil {
			return nil, err
		}
		for i := range cases {
			c := &cases[i]
			t := testCase{name: c.name, proxy: sluice, config: c.document(s), path: "/r0", headers: c.headers}
			cookies, err := c.cookies(ctx, s, t)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			t.headers = append(t.headers, cookies...)
			m, err := s.measure(ctx, t, each, connections)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			if rows[i] == nil {
				rows[i] = &pluginRow{Name: c.name}
			}
			rows[i].Added, rows[i].Ratio = append(rows[i].Added, m.CPU-base.CPU), append(rows[i].Ratio, m.CPU/base.CPU)
		}
	}
	return rows, nil
}

func printPlugins(out io.Writer, rows []*pluginRow) {
	_, _ = fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "plugin\tadded CPU us/request\tto the bare route\t")
	for _, r := range rows {
		_, _ = fmt.Fprintf(table, "%s\t%.1f\t%.2f\t\n", r.Name, median(r.Added), median(r.Ratio))
	}
	_ = table.Flush()
}
