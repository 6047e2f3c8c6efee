package clock_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/clock"
)

func TestNowIsBetweenTwoReadingsOfTheSystem(t *testing.T) {
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 1000 {
				before := time.Now()
				now := clock.Now()
				after := time.Now()
				if now.Before(before) || now.After(after) {
					t.Errorf("Now is %v, between %v and %v", now, before, after)
					return
				}
				if d := now.Round(0).Sub(before.Round(0)); d < -time.Second || d > time.Second {
					t.Errorf("its wall clock is %v away", d)
					return
				}
			}
		})
	}
	wait.Wait()
}

func TestNowFollowsForLong(t *testing.T) {
	for range 2 { // the second bubble's time begins before the first one's end
		synctest.Test(t, func(t *testing.T) {
			for _, step := range []time.Duration{0, time.Millisecond, 999 * time.Millisecond, time.Second, time.Hour, 24 * time.Hour} {
				time.Sleep(step)
				if got, want := clock.Now(), time.Now(); !got.Equal(want) || got.Round(0) != want.Round(0) {
					t.Errorf("after %v it is %v, not %v", step, got, want)
				}
			}
		})
	}
}

func TestNowDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(1000, func() { clock.Now() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		clock.Now()
	}
}

func BenchmarkSystem(b *testing.B) {
	for b.Loop() {
		time.Now()
	}
}
