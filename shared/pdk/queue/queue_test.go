package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/shared/pdk/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink takes batches, or refuses them.
type sink struct {
	mu      sync.Mutex
	batches []string
	times   []time.Duration
	tries   []time.Duration
	began   time.Time
	err     error
}

func (s *sink) send(_ context.Context, batch []*queue.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries = append(s.tries, time.Since(s.began))
	if s.err != nil {
		return s.err
	}
	var texts []string
	for _, e := range batch {
		texts = append(texts, string(e.B))
	}
	s.batches = append(s.batches, strings.Join(texts, " "))
	s.times = append(s.times, time.Since(s.began))
	return nil
}

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func put(q *queue.Queue, text string) {
	e := queue.NewEntry()
	e.B = append(e.B, text...)
	q.Put(e)
}

// defaults are what the schema fills in.
func defaults() queue.Config {
	return queue.Config{MaxBatchSize: 1, MaxCoalescingDelay: 1, MaxEntries: 10000, MaxRetryTime: 60, InitialRetryDelay: 0.01, MaxRetryDelay: 60, ConcurrencyLimit: 1}
}

func TestBatches(t *testing.T) {
	for _, test := range []struct {
		name  string
		size  int
		delay float64
		puts  int
		want  []string
		at    []time.Duration
	}{
		{"one by one", 1, 1, 3, []string{"0", "1", "2"}, []time.Duration{0, 0, 0}},
		{"whole batches go at once", 2, 1, 4, []string{"0 1", "2 3"}, []time.Duration{0, 0}},
		{"the rest waits for the delay", 2, 1, 3, []string{"0 1", "2"}, []time.Duration{0, time.Second}},
		{"no delay", 10, 0, 2, nil, nil},
		{"a long delay", 10, 3600, 2, []string{"0 1"}, []time.Duration{time.Hour}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sink{began: time.Now()}
				c := defaults()
				c.MaxBatchSize, c.MaxCoalescingDelay = test.size, test.delay
				q := queue.New(queue.Options{Config: c, Send: s.send})
				defer q.Close()
				synctest.Wait()
				for i := range test.puts {
					put(q, fmt.Sprint(i))
				}
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				got := strings.Fields(strings.Join(s.batches, " "))
				if len(got) != test.puts {
					t.Errorf("got %v", s.batches)
				}
				if test.want != nil && !slices.Equal(s.batches, test.want) {
					t.Errorf("batches %q, want %q", s.batches, test.want)
				}
				// A batch may go up to 50 ms before its delay is over.
				for i, at := range test.at {
					if i < len(s.times) && (s.times[i] > at || s.times[i] < at-50*time.Millisecond) {
						t.Errorf("batch %d went after %v, want %v", i, s.times[i], at)
					}
				}
			})
		})
	}
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{began: time.Now(), err: errors.New("away")}
		c := defaults()
		c.InitialRetryDelay, c.MaxRetryDelay, c.MaxRetryTime = 1, 4, 20
		q := queue.New(queue.Options{Config: c, Send: s.send})
		defer q.Close()
		put(q, "lost")
		time.Sleep(time.Hour)
		synctest.Wait()
		var want []time.Duration
		for _, at := range []int{0, 1, 3, 7, 11, 15, 19, 23} {
			want = append(want, time.Duration(at)*time.Second)
		}
		if !slices.Equal(s.tries, want) {
			t.Errorf("tries at %v, want %v", s.tries, want)
		}
		if n := q.Counts(); n.Lost != 1 || n.Sent != 0 || n.Waiting != 0 {
			t.Errorf("counts %+v", n)
		}
		// One that fails for a while arrives.
		put(q, "late")
		time.Sleep(5 * time.Second)
		s.fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(s.batches, []string{"late"}) || q.Counts().Sent != 1 {
			t.Errorf("batches %q, counts %+v", s.batches, q.Counts())
		}
	})
}

// TestSinkAway: an hour without a sink costs what the limits say, and the newest entries
// arrive afterwards.
func TestSinkAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{began: time.Now(), err: errors.New("away")}
		c := defaults()
		c.MaxEntries, c.MaxBatchSize = 100, 10
		q := queue.New(queue.Options{Config: c, Send: s.send})
		defer q.Close()
		const all = 3600 * 2
		most := int64(0)
		for i := range all {
			put(q, fmt.Sprintf("%04d", i))
			time.Sleep(time.Second / 2)
			if n := q.Counts(); n.Waiting > 100 {
				t.Fatalf("%d entries wait", n.Waiting)
			} else if n.Bytes > most {
				most = n.Bytes
			}
		}
		if most > 100*(1<<10+16) {
			t.Errorf("%d bytes were kept for 100 entries of 4 bytes", most)
		}
		s.fail(nil)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		n := q.Counts()
		if n.Sent+n.Dropped+n.Lost != all || n.Waiting != 0 || n.Sent < 100 || n.Sent > 110 {
			t.Errorf("counts %+v of %d entries", n, all)
		}
		got := strings.Fields(strings.Join(s.batches, " "))
		if last := got[len(got)-1]; last != "7199" || !slices.IsSorted(got) {
			t.Errorf("the last entry is %s of %v", last, got)
		}
	})
}

func TestBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		s := &sink{began: time.Now()}
		c := defaults()
		c.MaxBytes = 1 << 10
		q := queue.New(queue.Options{Config: c, Send: func(ctx context.Context, batch []*queue.Entry) error {
			<-block
			return s.send(ctx, batch)
		}})
		defer q.Close()
		exact := func(n int, with string) { q.Put(&queue.Entry{B: []byte(strings.Repeat(with, n))[:n:n]}) }
		exact(10, "a")
		synctest.Wait() // it is with the sender
		exact(1<<10+1, "b")
		if n := q.Counts(); n.Dropped != 1 || n.Waiting != 0 {
			t.Errorf("one that is too large: %+v", n)
		}
		exact(400, "c")
		exact(400, "d")
		exact(400, "e")
		if n := q.Counts(); n.Dropped != 2 || n.Waiting != 2 || n.Bytes != 800 {
			t.Errorf("one too many: %+v", n)
		}
		exact(1<<10, "f")
		if n := q.Counts(); n.Dropped != 4 || n.Waiting != 1 || n.Bytes != 1<<10 {
			t.Errorf("one as large as the queue: %+v", n)
		}
		close(block)
		synctest.Wait()
		if len(s.batches) != 2 || s.batches[1][0] != 'f' {
			t.Errorf("%d batches", len(s.batches))
		}
	})
}

// TestBytesWithoutLimit: a queue without max_bytes is bounded, too.
func TestBytesWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{began: time.Now(), err: errors.New("away")}
		c := defaults()
		c.MaxEntries = 10
		q := queue.New(queue.Options{Config: c, Send: s.send})
		defer q.Close()
		for range 100 {
			q.Put(&queue.Entry{B: make([]byte, 60<<10)})
		}
		if n := q.Counts(); n.Bytes > 80<<10 || n.Waiting == 0 {
			t.Errorf("counts %+v", n)
		}
	})
}

func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, largest atomic.Int64
		var mu sync.Mutex
		most := int64(0)
		c := defaults()
		c.ConcurrencyLimit, c.MaxBatchSize = -1, 100
		q := queue.New(queue.Options{Config: c, Send: func(_ context.Context, batch []*queue.Entry) error {
			n := now.Add(1)
			defer now.Add(-1)
			largest.Store(max(largest.Load(), int64(len(batch))))
			mu.Lock()
			most = max(most, n)
			mu.Unlock()
			time.Sleep(time.Second)
			return nil
		}})
		defer q.Close()
		for range 100 {
			put(q, "x")
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if most < 16 || most > 32 || largest.Load() != 1 || q.Counts().Sent != 100 {
			t.Errorf("%d at once of %d entries each, counts %+v", most, largest.Load(), q.Counts())
		}
	})
}

func TestClose(t *testing.T) {
	t.Run("sends what waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &sink{began: time.Now()}
			c := defaults()
			c.MaxBatchSize, c.MaxCoalescingDelay = 3, 3600
			q := queue.New(queue.Options{Config: c, Send: s.send})
			for i := range 7 {
				put(q, fmt.Sprint(i))
			}
			q.Close()
			if time.Since(s.began) != 0 || strings.Join(s.batches, " ") != "0 1 2 3 4 5 6" {
				t.Errorf("after %v: %q", time.Since(s.began), s.batches)
			}
			put(q, "after")
			if n := q.Counts(); n.Dropped != 1 || n.Sent != 7 {
				t.Errorf("counts %+v", n)
			}
			q.Close()
		})
	})
	t.Run("does not wait for a sink that is away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &sink{began: time.Now(), err: errors.New("away")}
			c := defaults()
			c.MaxRetryTime = 3600
			q := queue.New(queue.Options{Config: c, Send: s.send})
			for range 7 {
				put(q, "x")
			}
			synctest.Wait()
			q.Close()
			if took := time.Since(s.began); took > queue.DefaultFlushTimeout {
				t.Errorf("closing took %v", took)
			}
			if n := q.Counts(); n.Lost != 7 || n.Waiting != 0 {
				t.Errorf("counts %+v", n)
			}
		})
	})
	t.Run("ends a call that hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			q := queue.New(queue.Options{Config: defaults(), Send: func(ctx context.Context, _ []*queue.Entry) error {
				<-ctx.Done()
				return ctx.Err()
			}})
			put(q, "x")
			q.Close()
			if took := time.Since(began); took != queue.DefaultFlushTimeout || q.Counts().Lost != 1 {
				t.Errorf("closing took %v, counts %+v", took, q.Counts())
			}
		})
	})
}

func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := defaults()
		c.MaxRetryTime = 0
		q := queue.New(queue.Options{Config: c, Send: func(context.Context, []*queue.Entry) error {
			if calls++; calls <= 2 {
				panic("boom")
			}
			return nil
		}})
		put(q, "x")
		time.Sleep(time.Second)
		put(q, "y")
		q.Close()
		if n := q.Counts(); n.Sent+n.Lost != 2 || n.Sent == 0 {
			t.Errorf("counts %+v", n)
		}
	})
}

func TestRace(t *testing.T) {
	s := &sink{began: time.Now()}
	c := defaults()
	c.MaxBatchSize, c.MaxEntries, c.MaxCoalescingDelay = 20, 100, 0
	q := queue.New(queue.Options{Config: c, Send: s.send})
	var puts sync.WaitGroup
	for range 8 {
		puts.Go(func() {
			for range 1000 {
				put(q, "x")
			}
		})
	}
	puts.Wait()
	q.Close()
	if n := q.Counts(); n.Sent+n.Dropped+n.Lost != 8000 {
		t.Errorf("counts %+v", n)
	}
}

func BenchmarkPut(b *testing.B) {
	c := defaults()
	c.MaxBatchSize, c.MaxCoalescingDelay = 100, 0
	q := queue.New(queue.Options{Config: c, Send: func(context.Context, []*queue.Entry) error { return nil }})
	defer q.Close()
	text := strings.Repeat("x", 1500)
	b.ReportAllocs()
	for b.Loop() {
		put(q, text)
	}
}
