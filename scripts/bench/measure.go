package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// measurement is one run of the load.
type measurement struct {
	Requests  int64   `json:"requests"`
	PerSecond float64 `json:"requests_per_second"`
	// CPU is user and system time of the proxy's processes for one request, in
	// microseconds.
	CPU float64 `json:"cpu_us_per_request"`
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
}

func (s *stack) measure(ctx context.Context, c testCase, seconds, connections int) (measurement, error) {
	if c.proxy == sluice {
		if err := s.configure(ctx, c); err != nil {
			return measurement{}, err
		}
	}
	if _, err := s.load(ctx, c, 1, connections); err != nil {
		return measurement{}, err
	}
	pid := s.measured[c.proxy].PID()
	before, err := cpuTime(pid)
	if err != nil {
		return measurement{}, err
	}
	m, err := s.load(ctx, c, seconds, connections)
	if err != nil {
		return m, err
	}
	after, err := cpuTime(pid)
	if err != nil {
		return m, err
	}
	m.CPU = float64((after - before).Nanoseconds()) / 1e3 / float64(m.Requests)
	return m, nil
}

// load runs wrk once for a case.
func (s *stack) load(ctx context.Context, c testCase, seconds, connections int) (measurement, error) {
	var args []string
	for _, h := range c.headers {
		args = append(args, "-H", h)
	}
	if c.script != "" {
		script := filepath.Join(s.dir, "requests.lua")
		if err := os.WriteFile(script, []byte(c.script), 0o600); err != nil {
			return measurement{}, err
		}
		args = append(args, "-s", script)
	}
	return s.wrk(ctx, s.url(c)+c.path, seconds, connections, args...)
}

// wrk runs wrk once.
func (s *stack) wrk(ctx context.Context, url string, seconds, connections int, args ...string) (measurement, error) {
	args = append([]string{"-t", "1", "-c", strconv.Itoa(connections), "-d", strconv.Itoa(seconds), "--latency"}, args...)
	out, err := exec.CommandContext(ctx, "wrk", append(args, url)...).CombinedOutput()
	if err != nil {
		return measurement{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	return parseWrk(string(out))
}

var (
	wrkRequests = regexp.MustCompile(`(?m)^\s+(\d+) requests in ([\d.]+\w+)`)
	wrkLatency  = regexp.MustCompile(`(?m)^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)\s*$`)
	wrkFaults   = regexp.MustCompile(`(?m)^\s+(Non-2xx or 3xx responses: \d+|Socket errors: .*[1-9].*)$`)
)

func parseWrk(out string) (measurement, error) {
	var m measurement
	if fault := wrkFaults.FindStringSubmatch(out); fault != nil {
		return m, errors.New("wrk saw " + fault[1])
	}
	total := wrkRequests.FindStringSubmatch(out)
	if total == nil {
		return m, fmt.Errorf("wrk wrote no total:\n%s", out)
	}
	var err error
	if m.Requests, err = strconv.ParseInt(total[1], 10, 64); err != nil || m.Requests == 0 {
		return m, fmt.Errorf("wrk made %s requests", total[1])
	}
	took, err := time.ParseDuration(total[2])
	if err != nil {
		return m, err
	}
	m.PerSecond = float64(m.Requests) / took.Seconds()
	for _, row := range wrkLatency.FindAllStringSubmatch(out, -1) {
		value, err := time.ParseDuration(row[2] + row[3])
		if err != nil {
			return m, err
		}
		us := float64(value.Nanoseconds()) / 1e3
		if row[1] == "50" {
			m.P50 = us
		} else {
			m.P99 = us
		}
	}
	return m, nil
}

// ticks of the clock in /proc in a second; it is 100 on every Linux that Go runs on.
const ticks = 100

// cpuTime is the user and system time of a process and of its living children, to
// which nginx's workers belong.
func cpuTime(pid int) (time.Duration, error) {
	total, err := processTime(strconv.Itoa(pid))
	if err != nil {
		return 0, err
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, err
	}
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err != nil {
			return 0, err
		}
		for child := range strings.FieldsSeq(string(children)) {
			t, err := processTime(child)
			if err != nil {
				return 0, err
			}
			total += t
		}
	}
	return total, nil
}

func processTime(pid string) (time.Duration, error) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0, err
	}
	// The name in parentheses may hold spaces; state is the first field after it, user
	// and system time are the 12th and 13th.
	_, rest, _ := strings.Cut(string(stat[strings.LastIndex(string(stat), ")"):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%s/stat has another form", pid)
	}
	var sum int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks, nil
}
