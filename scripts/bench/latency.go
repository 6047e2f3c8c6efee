package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// writes is how long changes of the configuration take.
type writes struct {
	Count int `json:"count"`
	// Admin is the time of the Admin API's answer, Served the time from that answer to
	// the first call that the route serves; medians and the 90th of 100, in ms.
	AdminP50  float64 `json:"admin_p50_ms"`
	ServedP50 float64 `json:"served_p50_ms"`
	ServedP90 float64 `json:"served_p90_ms"`
}

// writeLatency makes routes one after the other, on a machine without other load.
func (s *stack) writeLatency(ctx context.Context, count int) (writes, error) {
	if err := s.configure(ctx, testCase{name: "writes", proxy: sluice, config: s.config("", 1, 1), path: "/r0"}); err != nil {
		return writes{}, err
	}
	var admin, served []time.Duration
	for i := range count {
		path := fmt.Sprintf("/written%d", i)
		start := time.Now()
		_, err := fetch(ctx, "POST", "http://"+s.admin+"/services/upstream/routes", `{"paths":["`+path+`"]}`,
			[]string{"Content-Type: application/json"}, http.StatusCreated)
		if err != nil {
			return writes{}, err
		}
		answered := time.Now()
		for deadline := answered.Add(5 * time.Second); ; {
			if _, err = fetch(ctx, "GET", "http://"+s.clear[sluice]+path, "", nil, http.StatusOK); err == nil {
				break
			}
			if time.Now().After(deadline) {
				return writes{}, err
			}
		}
		admin, served = append(admin, answered.Sub(start)), append(served, time.Since(answered))
	}
	slices.Sort(admin)
	slices.Sort(served)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	return writes{
		Count: count, AdminP50: ms(admin[count/2]), ServedP50: ms(served[count/2]), ServedP90: ms(served[count*9/10]),
	}, nil
}
