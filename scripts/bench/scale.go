package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// routeCounts are the sizes of the table of many routes; the first one is what the others
// are compared with.
var routeCounts = []int{1, 10_000, 100_000}

// scaleRow is what a bare request costs among so many routes. The load calls a thousand
// of them in turn, or as many as there are.
type scaleRow struct {
	Routes int `json:"routes"`
	// CPU of a request in each round, and what nginx, which has one location, took for its
	// own in the same round.
	CPU   []float64 `json:"cpu_us_per_request"`
	Nginx []float64 `json:"nginx_cpu_us_per_request"`
	P99   []float64 `json:"p99_us"`
}

// scale measures each size in rounds of a second for nginx and one for Sluice. Sizes come
// one after the other, since a change between them costs time of its own: only the ratios
// to nginx compare.
func (s *stack) scale(ctx context.Context, rounds, connections int) ([]scaleRow, error) {
	base := testCase{proxy: nginx, path: "/r0"}
	var rows []scaleRow
	for _, n := range routeCounts {
		fmt.Printf("%d routes, %d rounds\n", n, rounds)
		called := min(n, 1000)
		c := testCase{name: fmt.Sprintf("%d routes", n), proxy: sluice, config: s.config("", n, 1), script: routesScript(n, called), last: n - 1}
		row := scaleRow{Routes: n}
		for range rounds {
			before, err := s.measure(ctx, base, 1, connections)
			if err != nil {
				return nil, err
			}
			m, err := s.measure(ctx, c, 1, connections)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			row.CPU, row.Nginx, row.P99 = append(row.CPU, m.CPU), append(row.Nginx, before.CPU), append(row.P99, m.P99)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// routesScript makes wrk call some of n routes, evenly spread, in turn.
func routesScript(n, called int) string {
	return fmt.Sprintf(`
local requests, i = {}, 0
function init()
  for k = 0, %d do
    requests[k] = wrk.format("GET", "/r" .. k * %d)
  end
end
function request()
  i = (i + 1) %% %d
  return requests[i]
end
`, called-1, n/called, called)
}

// ratio is the median of the ratios to nginx.
func (r *scaleRow) ratio() float64 {
	values := make([]float64, len(r.CPU))
	for i := range values {
		values[i] = r.CPU[i] / r.Nginx[i]
	}
	return median(values)
}

func printScale(out io.Writer, rows []scaleRow) {
	_, _ = fmt.Fprintln(out, "\nMany routes, bare; goal: within 1.05 of one route")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "routes\tCPU us/request\tto nginx\tto one route\tp99 us\t")
	for i := range rows {
		r := &rows[i]
		_, _ = fmt.Fprintf(table, "%d\t%.1f\t%.2f\t%.2f\t%.0f\t\n", r.Routes, median(slices.Clone(r.CPU)), r.ratio(), r.ratio()/rows[0].ratio(), median(slices.Clone(r.P99)))
	}
	_ = table.Flush()
}
