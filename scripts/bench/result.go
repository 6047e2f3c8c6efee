package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is everything that was measured.
type result struct {
	Machine     map[string]string `json:"machine"`
	Connections int               `json:"connections"`
	Rounds      int               `json:"rounds"`
	Seconds     int               `json:"seconds_each"`
	Rows        []*row            `json:"rows"`
	Flows       []*flowRow        `json:"flows,omitempty"`
	Low         []latencyRow      `json:"latency_at_low_load,omitempty"`
	Idle        []idleRow         `json:"idle_connections,omitempty"`
	Scale       []scaleRow        `json:"many_routes,omitempty"`
	Changes     *changesRow       `json:"changes,omitempty"`
	Write       writes            `json:"writes"`
}

// row is a case with its measurements, one a round.
type row struct {
	Name   string        `json:"case"`
	Proxy  proxyKind     `json:"proxy"`
	TLS    bool          `json:"tls"`
	Target float64       `json:"target_ratio,omitempty"`
	Runs   []measurement `json:"runs"`
	// Medians over the rounds; ratios are those to nginx in the same round.
	CPU       float64 `json:"cpu_us_per_request"`
	CPURatio  float64 `json:"cpu_to_nginx"`
	PerSecond float64 `json:"requests_per_second"`
	RateRatio float64 `json:"requests_to_nginx"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
}

func (r *result) add(c testCase, m measurement) {
	for _, known := range r.Rows {
		if known.Name == c.name && known.Proxy == c.proxy {
			known.Runs = append(known.Runs, m)
			return
		}
	}
	r.Rows = append(r.Rows, &row{Name: c.name, Proxy: c.proxy, TLS: c.tls, Target: c.target, Runs: []measurement{m}})
}

func (r *result) baseline(tls bool) *row {
	for _, candidate := range r.Rows {
		if candidate.Proxy == nginx && candidate.TLS == tls {
			return candidate
		}
	}
	return nil
}

// summarize fills the medians.
func (r *result) summarize() {
	for _, current := range r.Rows {
		base := r.baseline(current.TLS)
		over := func(value func(i int) float64) float64 {
			values := make([]float64, len(current.Runs))
			for i := range values {
				values[i] = value(i)
			}
			return median(values)
		}
		current.CPU = over(func(i int) float64 { return current.Runs[i].CPU })
		current.PerSecond = over(func(i int) float64 { return current.Runs[i].PerSecond })
		current.P50 = over(func(i int) float64 { return current.Runs[i].P50 })
		current.P99 = over(func(i int) float64 { return current.Runs[i].P99 })
		current.CPURatio = over(func(i int) float64 { return current.Runs[i].CPU / base.Runs[i].CPU })
		current.RateRatio = over(func(i int) float64 { return current.Runs[i].PerSecond / base.Runs[i].PerSecond })
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

func (r *result) print(out io.Writer) {
	r.summarize()
	_, _ = fmt.Fprintf(out, "\n%s, %s, %s; %d connections, medians of %d rounds of %d s\n\n",
		r.Machine["cpu"], r.Machine["cores"]+" cores", r.Machine["commit"], r.Connections, r.Rounds, r.Seconds)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "case\tproxy\tCPU us/request\tto nginx\tgoal\trequests/s\tto nginx\tp50 us\tp99 us\t")
	for _, current := range r.Rows {
		goal := "-"
		if current.Target > 0 {
			goal = fmt.Sprintf("%.2f", current.Target)
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%.1f\t%.2f\t%s\t%.0f\t%.2f\t%.0f\t%.0f\t\n",
			current.Name, current.Proxy, current.CPU, current.CPURatio, goal, current.PerSecond, current.RateRatio, current.P50, current.P99)
	}
	_ = table.Flush()
	if len(r.Flows) > 0 {
		printFlows(out, r.Flows)
		printLow(out, r.Low)
		printIdle(out, r.Idle)
		printScale(out, r.Scale)
		printChanges(out, r.Changes)
	}
	_, _ = fmt.Fprintf(out, "\n%d new routes: Admin API answers in %.1f ms, and the route serves %.1f ms later (medians; 90 of 100 within %.1f ms; goal 20 ms)\n",
		r.Write.Count, r.Write.AdminP50, r.Write.ServedP50, r.Write.ServedP90)
}

func (r *result) save(folder string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	path := filepath.Join(folder, time.Now().UTC().Format("2006-01-02T1504")+"-"+r.Machine["commit"]+".json")
	fmt.Println("wrote", path)
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// machine records what the figures depend on.
func machine() map[string]string {
	out := map[string]string{
		"cores": fmt.Sprint(runtime.NumCPU()), "go": runtime.Version(), "cpu": "unknown CPU", "commit": "no commit",
		"nginx": firstLine("nginx", "-v"), "haproxy": firstLine("haproxy", "-v"),
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				out["cpu"] = strings.TrimSpace(model)
				break
			}
		}
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		out["load_before"] = strings.Fields(string(load))[0]
	}
	if commit, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output(); err == nil {
		out["commit"] = strings.TrimSpace(string(commit))
	}
	return out
}

func firstLine(name string, args ...string) string {
	path, err := lookTool(name)
	if err != nil {
		return ""
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
