package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// figure is one line of the table.
type figure struct {
	what, at string
	// target, moonshot and measured in the words of the table; method says how.
	target, moonshot, measured, method string
	// verdict: pass, moonshot, miss or "" for what has no target.
	verdict string
}

// goal is a target and a moonshot in a unit, smaller is better.
type goal struct{ target, moonshot float64 }

func (g goal) judge(v float64) string {
	switch {
	case g.target == 0:
		return ""
	case v <= g.moonshot:
		return "moonshot"
	case v <= g.target:
		return "pass"
	default:
		return "miss"
	}
}

type table struct{ rows []figure }

// add notes a value that is judged and shown in a unit, with what else was measured.
func (t *table) add(what, at string, g goal, v float64, unit, besides, method string) {
	f := figure{what: what, at: at, measured: number(v) + " " + unit, method: method, verdict: g.judge(v)}
	if g.target != 0 {
		f.target, f.moonshot = number(g.target)+" "+unit, number(g.moonshot)+" "+unit
	}
	if besides != "" {
		f.measured += " (" + besides + ")"
	}
	t.rows = append(t.rows, f)
}

// skip notes what was not measured.
func (t *table) skip(what, at, why string) {
	t.rows = append(t.rows, figure{what: what, at: at, measured: "not measured", method: why})
}

func (t *table) show(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "what\tat\ttarget\tmoonshot\tmeasured\t\tmethod")
	for _, r := range t.rows {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.what, r.at, r.target, r.moonshot, r.measured, r.verdict, r.method)
	}
	return tw.Flush()
}

func number(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10 || v <= -10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// quantile of durations, which it sorts.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
