package proxycache_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/proxycache"
)

func TestMissesCollapse(t *testing.T) {
	for _, test := range []struct {
		name     string
		config   string
		takes    time.Duration
		answer   pdktest.Response
		path     func(i int) string
		calls    int64 // of the upstream
		hits     int64
		duration time.Duration // of all together
	}{
		{
			name: "one call", takes: 3 * time.Second, answer: pdktest.Response{Header: [][2]string{{"Content-Type", "text/plain"}}, Body: "b"},
			calls: 1, hits: 19, duration: 3 * time.Second,
		},
		{
			name: "one call each", takes: time.Second, answer: pdktest.Response{Header: [][2]string{{"Content-Type", "text/plain"}}, Body: "b"},
			path: func(i int) string { return fmt.Sprint("/", i%4) }, calls: 4, hits: 16, duration: time.Second,
		},
		{
			name: "not storable", takes: time.Second, answer: pdktest.Response{Status: 500, Header: [][2]string{{"Content-Type", "text/plain"}}, Body: "b"},
			calls: 20, duration: 2 * time.Second,
		},
		{
			name: "fresh for nobody", config: `,"cache_control":true`, takes: time.Second,
			answer: pdktest.Response{Header: [][2]string{{"Content-Type", "text/plain"}, {"Cache-Control", "no-store"}}, Body: "b"}, calls: 20, duration: 2 * time.Second,
		},
		{
			name: "too slow", takes: 8 * time.Second, answer: pdktest.Response{Header: [][2]string{{"Content-Type", "text/plain"}}, Body: "b"},
			calls: 20, duration: 13 * time.Second,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := pdktest.Build(t, pdktest.Options{Plugin: proxycache.Plugin, Config: `{"strategy":"memory"` + test.config + `}`})
				var calls, hits atomic.Int64
				var work sync.WaitGroup
				began := time.Now()
				for i := range 20 {
					path := "/"
					if test.path != nil {
						path = test.path(i)
					}
					work.Go(func() {
						r := p.DoWith(pdktest.Request{Path: path, At: time.Now()}, func(x *pdk.Exchange) pdktest.Response {
							calls.Add(1)
							time.Sleep(test.takes)
							x.UpstreamFirst = time.Now()
							return test.answer
						})
						if r.Err != nil || r.Body != "b" {
							t.Errorf("%d %q %v", r.Status, r.Body, r.Err)
						}
						if r.Get("X-Cache-Status") == "Hit" {
							hits.Add(1)
							if r.Get("age") != "0" {
								t.Errorf("age %q", r.Get("age"))
							}
						}
					})
				}
				work.Wait()
				if calls.Load() != test.calls || hits.Load() != test.hits || time.Since(began) != test.duration {
					t.Errorf("%d calls, %d hits in %v; want %d, %d in %v", calls.Load(), hits.Load(), time.Since(began), test.calls, test.hits, test.duration)
				}
				// What can not be stored is not waited for again.
				began = time.Now()
				for range 3 {
					work.Go(func() {
						p.DoWith(pdktest.Request{Path: "/x", At: time.Now()}, func(*pdk.Exchange) pdktest.Response {
							time.Sleep(time.Second)
							return pdktest.Response{Status: 500, Body: "b"}
						})
					})
					work.Wait()
				}
				for range 3 {
					work.Go(func() {
						p.DoWith(pdktest.Request{Path: "/x", At: time.Now()}, func(*pdk.Exchange) pdktest.Response {
							time.Sleep(time.Second)
							return pdktest.Response{Status: 500, Body: "b"}
						})
					})
				}
				work.Wait()
				if took := time.Since(began); took != 4*time.Second {
					t.Errorf("after an answer that is not stored they take %v", took)
				}
			})
		})
	}
}

func TestVariantsAreBounded(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: proxycache.Plugin, Config: `{"strategy":"memory","cache_control":true}`})
	answer := pdktest.Response{Header: [][2]string{{"Content-Type", "text/plain"}, {"Cache-Control", "max-age=60"}, {"Vary", "A"}}, Body: "b"}
	do := func(i int) string {
		r := p.DoWith(pdktest.Request{Header: [][2]string{{"A", fmt.Sprint(i)}}}, func(*pdk.Exchange) pdktest.Response { return answer })
		return r.Get("X-Cache-Status")
	}
	for i := range 40 {
		do(i)
	}
	hits := 0
	for i := 39; i >= 0; i-- {
		if do(i) == "Hit" {
			hits++
		} else {
			break
		}
	}
	if hits != 16 {
		t.Errorf("%d of 40 variants are kept, want 16", hits)
	}
}
