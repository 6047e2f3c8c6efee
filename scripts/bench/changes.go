package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// changeRate is how many changes of the configuration come in a second, loadPart which
	// part of the requests that are possible.
	changeRate = 100
	loadPart   = 0.7
	// pacedConnections make them.
	pacedConnections = 32
)

// changesRow is what requests see while the configuration changes and while it does not.
type changesRow struct {
	// Rate of requests and Changes that were made, in a second.
	Rate    float64 `json:"requests_per_second"`
	Changes float64 `json:"changes_per_second"`
	// In microseconds, by round: without changes and with them.
	QuietP50   []float64 `json:"quiet_p50_us"`
	QuietP99   []float64 `json:"quiet_p99_us"`
	ChangedP50 []float64 `json:"changed_p50_us"`
	ChangedP99 []float64 `json:"changed_p99_us"`
}

// changes measures the latency of a load of a steady rate, in interleaved rounds without
// and with changes of routes.
func (s *stack) changes(ctx context.Context, rounds int, each time.Duration) (*changesRow, error) {
	if err := s.configure(ctx, testCase{name: "changes", proxy: sluice, config: s.config("", 100, 1), last: 99}); err != nil {
		return nil, err
	}
	defer func() { s.loaded = "" }() // what is there is not what was loaded
	possible, err := s.paced(ctx, time.Second, 0)
	if err != nil {
		return nil, err
	}
	row := &changesRow{Rate: loadPart * float64(len(possible))}
	for round := range rounds {
		fmt.Printf("changes, round %d of %d: twice %v of %.0f requests/s\n", round+1, rounds, each, row.Rate)
		quiet, err := s.paced(ctx, each, row.Rate)
		if err != nil {
			return nil, err
		}
		changing, stop := context.WithCancel(ctx)
		made := make(chan error, 1)
		var count atomic.Int64
		go func() { made <- s.change(changing, &count) }()
		changed, err := s.paced(ctx, each, row.Rate)
		stop()
		if err := errors.Join(err, <-made); err != nil {
			return nil, err
		}
		row.Changes += float64(count.Load()) / each.Seconds() / float64(rounds)
		row.QuietP50, row.QuietP99 = append(row.QuietP50, percentile(quiet, 50)), append(row.QuietP99, percentile(quiet, 99))
		row.ChangedP50, row.ChangedP99 = append(row.ChangedP50, percentile(changed, 50)), append(row.ChangedP99, percentile(changed, 99))
	}
	return row, nil
}

// percentile is in microseconds; it sorts.
func percentile(list []time.Duration, p int) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return float64(list[min(len(list)*p/100, len(list)-1)].Nanoseconds()) / 1e3
}

// change alters routes at the rate until ctx ends.
func (s *stack) change(ctx context.Context, count *atomic.Int64) error {
	ticker := time.NewTicker(time.Second / changeRate)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		name := "changing" + strconv.Itoa(i%50)
		body := `{"service":{"name":"upstream"},"paths":["/` + name + `","/` + strconv.Itoa(i) + `"]}`
		if _, err := fetch(ctx, "PUT", "http://"+s.admin+"/routes/"+name, body, []string{"Content-Type: application/json"}, http.StatusOK); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		count.Add(1)
	}
}

// paced sends requests at a rate, 0 for as many as can be, over connections of its own, and
// returns how long they took: from when they were due, unless only the clock of this side
// was late.
func (s *stack) paced(ctx context.Context, each time.Duration, rate float64) ([]time.Duration, error) {
	lists, errs := make([][]time.Duration, pacedConnections), make([]error, pacedConnections)
	var wait sync.WaitGroup
	until := time.Now().Add(each)
	for i := range pacedConnections {
		wait.Go(func() {
			nc, err := new(net.Dialer).DialContext(ctx, "tcp", s.clear[sluice])
			if err != nil {
				errs[i] = err
				return
			}
			defer func() { _ = nc.Close() }()
			_ = nc.SetDeadline(until.Add(10 * time.Second))
			between := time.Duration(0)
			if rate > 0 {
				between = time.Duration(float64(pacedConnections) / rate * float64(time.Second))
			}
			lists[i], errs[i] = calls(nc, between, between*time.Duration(i)/pacedConnections, until)
		})
	}
	wait.Wait()
	return slices.Concat(lists...), errors.Join(errs...)
}

func calls(nc net.Conn, between, first time.Duration, until time.Time) (took []time.Duration, err error) {
	request := []byte("GET /r7 HTTP/1.1\r\nHost: bench\r\n\r\n")
	in := bufio.NewReaderSize(nc, 4<<10)
	for due := time.Now().Add(first); due.Before(until); {
		began := due
		if d := time.Until(due); d > 0 {
			time.Sleep(d)
			began = time.Now() // how late the sleep ends is not the proxy's
		}
		if _, err := nc.Write(request); err != nil {
			return took, err
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return took, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
			return took, fmt.Errorf("answer with status %d, %w", resp.StatusCode, err)
		}
		now := time.Now()
		took = append(took, now.Sub(began))
		if due = due.Add(between); between == 0 {
			due = now
		}
	}
	return took, nil
}

func printChanges(out io.Writer, r *changesRow) {
	of := func(list []float64) float64 { return median(slices.Clone(list)) }
	ratios := make([]float64, len(r.QuietP99))
	for i := range ratios {
		ratios[i] = r.ChangedP99[i] / r.QuietP99[i]
	}
	_, _ = fmt.Fprintf(out, "\n%.0f requests/s over %d connections, p50 / p99 in us: %.0f / %.0f; while %.0f changes/s arrive: %.0f / %.0f, p99 %.2f times that without (goal 1.10)\n",
		r.Rate, pacedConnections, of(r.QuietP50), of(r.QuietP99), r.Changes, of(r.ChangedP50), of(r.ChangedP99), median(ratios))
}
