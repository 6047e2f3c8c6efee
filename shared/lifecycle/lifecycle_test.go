package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/shared/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal collects the order of events.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) actor(name string) lifecycle.Actor {
	stop := make(chan struct{})
	return lifecycle.Actor{
		Name:    name,
		Execute: func() error { <-stop; j.add(name + " returned"); return nil },
		Interrupt: func(context.Context) {
			j.add(name + " interrupted")
			close(stop)
		},
	}
}

func TestActorsStopInReverseOneAfterTheOther(t *testing.T) {
	var j journal
	var g lifecycle.Group
	g.Add(j.actor("store"))
	g.Add(j.actor("stream"))
	g.Add(j.actor("server"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Run(ctx); err != nil {
		t.Fatalf("Run: %v", err)
	}
	want := []string{
		"server interrupted", "server returned", "stream interrupted", "stream returned", "store interrupted", "store returned",
	}
	if !slices.Equal(j.lines, want) {
		t.Errorf("order = %v, want %v", j.lines, want)
	}
}

func TestFirstToReturnStopsTheRest(t *testing.T) {
	broken := errors.New("port taken")
	var j journal
	var g lifecycle.Group
	g.Add(j.actor("store"))
	g.Add(lifecycle.Actor{Name: "server", Execute: func() error { return broken }, Interrupt: func(context.Context) { j.add("server interrupted") }})
	err := g.Run(t.Context())
	if !errors.Is(err, broken) || err.Error() != "server: port taken" {
		t.Errorf("Run: %v, want the actor's name and error", err)
	}
	want := []string{"server interrupted", "store interrupted", "store returned"}
	if !slices.Equal(j.lines, want) {
		t.Errorf("order = %v, want %v", j.lines, want)
	}
}

func TestStopIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g := lifecycle.Group{StopTimeout: 5 * time.Second}
		deadline := false
		g.Add(lifecycle.Actor{
			Name:    "stuck",
			Execute: func() error { <-release; return nil },
			Interrupt: func(ctx context.Context) {
				<-ctx.Done()
				deadline = true
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		err := g.Run(ctx)
		if !errors.Is(err, lifecycle.ErrStopTimeout) {
			t.Errorf("Run: %v, want ErrStopTimeout", err)
		}
		if took := time.Since(start); took != 6*time.Second {
			t.Errorf("stop took %v, want the timeout and a second", took)
		}
		if !deadline {
			t.Error("Interrupt did not see its context end")
		}
		close(release)
		synctest.Wait()
	})
}

func TestFuncEndsWithItsContext(t *testing.T) {
	var g lifecycle.Group
	started := make(chan struct{})
	g.Add(lifecycle.Func("loop", func(ctx context.Context) error {
		close(started)
		<-ctx.Done()
		return ctx.Err()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if err := g.Run(ctx); err != nil {
		t.Errorf("Run: %v, want nil for a stop that was asked for", err)
	}
}

func TestAddRefusesHalfAnActor(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Add took an actor without Execute")
		}
	}()
	new(lifecycle.Group).Add(lifecycle.Actor{Name: "x"})
}

func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		reloaded := make(chan struct{}, 1)
		ctx, stop := lifecycle.Signals(t.Context(), func() { reloaded <- struct{}{} })
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		<-reloaded
		if ctx.Err() != nil {
			t.Fatal("SIGHUP ended the context")
		}
		if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		var cause lifecycle.ErrSignal
		if !errors.As(context.Cause(ctx), &cause) || cause.Signal != sig {
			t.Errorf("cause = %v, want %v", context.Cause(ctx), sig)
		}
		stop()
	}
}
