package sketch_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/sketch"
)

// TestBuckets: buckets follow each other without a gap, and each latency is in the bucket
// whose bounds have it.
func TestBuckets(t *testing.T) {
	end := time.Duration(0)
	for i := range sketch.Buckets {
		from, to := sketch.Bounds(i)
		if from != end || to <= from {
			t.Fatalf("bucket %d is from %v to %v, the one before ends at %v", i, from, to, end)
		}
		for _, d := range []time.Duration{from, (from + to) / 2, to - 1} {
			if got := sketch.Bucket(d); got != i {
				t.Errorf("%v is in bucket %d, want %d", d, got, i)
			}
		}
		if i >= 8 && float64(to-from)/float64(from) > 0.1251 {
			t.Errorf("bucket %d is too wide: %v to %v", i, from, to)
		}
		end = to
	}
	if end < 2*time.Minute {
		t.Errorf("the longest latency is %v", end)
	}
	for d, want := range map[time.Duration]int{-time.Second: 0, math.MinInt64: 0, math.MaxInt64: sketch.Buckets - 1, time.Hour: sketch.Buckets - 1} {
		if got := sketch.Bucket(d); got != want {
			t.Errorf("%v is in bucket %d, want %d", d, got, want)
		}
	}
}

// TestQuantiles compares with the quantiles of the latencies themselves.
func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // no secret
	var c sketch.Counts
	if c.Quantile(0.5) != 0 || c.Mean() != 0 {
		t.Errorf("of nothing: %v, %v", c.Quantile(0.5), c.Mean())
	}
	var all []time.Duration
	sum := 0.0
	for range 50_000 {
		d := time.Duration(math.Exp(random.NormFloat64()*1.5+14)) * time.Nanosecond // about 1 ms
		all = append(all, d)
		sum += float64(d)
		c[sketch.Bucket(d)]++
	}
	slices.Sort(all)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[min(int(q*float64(len(all))), len(all)-1)]
		if got := c.Quantile(q); math.Abs(float64(got-want)) > 0.0626*float64(want)+1000 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	want := sum / float64(len(all))
	if got := float64(c.Mean()); math.Abs(got-want) > 0.05*want {
		t.Errorf("mean is %v, want %v", time.Duration(got), time.Duration(want))
	}
}

func BenchmarkBucket(b *testing.B) {
	d := 137 * time.Microsecond
	sum := 0
	for b.Loop() {
		sum += sketch.Bucket(d)
		d += 7
	}
	_ = sum
}
