// Package lifecycle runs the parts of a process and stops them in order. It owns
// the run group, the answer to signals and the bound on how long a stop may take.
// It refuses to know what the parts do, and to exit the process: Run returns, and
// main decides.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// ErrStopTimeout means that actors were still running when StopTimeout had passed.
var ErrStopTimeout = errors.New("stop timed out")

// Actor is one part of a process.
type Actor struct {
	// Name for logs and errors.
	Name string
	// Execute blocks until the actor is done: after Interrupt, or by itself, which
	// stops the group. The error of the first that returns is the group's.
	Execute func() error
	// Interrupt makes Execute return, gracefully while ctx lasts and at once when it
	// ends. It may block until then. It is called once, from another goroutine, also
	// when Execute has returned by itself.
	Interrupt func(ctx context.Context)
}

// Group runs actors. The zero value with actors added is ready for Run, once.
type Group struct {
	// StopTimeout bounds the stop of all actors together; 0 means 10s.
	StopTimeout time.Duration
	// Logger may be nil.
	Logger hclog.Logger

	actors []Actor
}

// Add appends an actor. Actors start together, in the order of Add; they stop one
// after the other in the reverse order, so that what takes clients in, added last,
// is drained before what it needs.
func (g *Group) Add(a Actor) {
	if a.Execute == nil || a.Interrupt == nil || a.Name == "" {
		panic("lifecycle: an actor needs Name, Execute and Interrupt")
	}
	g.actors = append(g.actors, a)
}

type exit struct {
	index int
	err   error
}

// Run starts the actors, waits for the first that returns or for ctx to end, stops
// the rest and waits for them. It returns the error of the first, nil when ctx
// ended, joined with ErrStopTimeout when an actor did not stop; such an actor's
// goroutine is left behind, for the process is about to exit.
func (g *Group) Run(ctx context.Context) error {
	log := g.Logger
	if log == nil {
		log = hclog.NewNullLogger()
	}
	timeout := g.StopTimeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	exits := make(chan exit, len(g.actors))
	done := make([]chan struct{}, len(g.actors))
	for i, a := range g.actors {
		done[i] = make(chan struct{})
		go func() {
			defer close(done[i])
			err := a.Execute()
			if err != nil {
				err = fmt.Errorf("%s: %w", a.Name, err)
			}
			exits <- exit{index: i, err: err}
		}()
	}
	var first error
	select {
	case e := <-exits:
		first = e.err
		log.Info("stopping", "because", g.actors[e.index].Name+" ended")
	case <-ctx.Done():
		log.Info("stopping", "because", context.Cause(ctx).Error())
	}
	// The stop must outlive ctx, which has ended.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	for i, a := range slices.Backward(g.actors) {
		if err := g.stop(stop, a, done[i]); err != nil {
			log.Error("actor did not stop", "actor", a.Name, "timeout", timeout)
			first = errors.Join(first, err)
		}
	}
	return first
}

// graceAfterTimeout is what an actor gets to return at once.
const graceAfterTimeout = time.Second

func (g *Group) stop(ctx context.Context, a Actor, done <-chan struct{}) error {
	var wait sync.WaitGroup
	interrupted := make(chan struct{})
	wait.Go(func() {
		defer close(interrupted)
		a.Interrupt(ctx)
	})
	both := make(chan struct{})
	go func() {
		wait.Wait()
		<-done
		close(both)
	}()
	select {
	case <-both:
		return nil
	case <-ctx.Done():
	}
	last := time.NewTimer(graceAfterTimeout)
	defer last.Stop()
	select {
	case <-both:
		return nil
	case <-last.C:
		return fmt.Errorf("%s: %w", a.Name, ErrStopTimeout)
	}
}

// Func makes an actor of a function that blocks until its context ends.
func Func(name string, run func(ctx context.Context) error) Actor {
	ctx, cancel := context.WithCancel(context.Background())
	return Actor{
		Name: name,
		Execute: func() error {
			err := run(ctx)
			if errors.Is(err, context.Canceled) && ctx.Err() != nil {
				return nil
			}
			return err
		},
		Interrupt: func(context.Context) { cancel() },
	}
}

// ErrSignal is the cause of a stop that a signal asked for.
type ErrSignal struct {
	Signal os.Signal
}

func (e ErrSignal) Error() string { return "signal " + e.Signal.String() }
