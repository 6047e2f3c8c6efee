// Package controlclient follows a control plane: it dials, says what the node serves,
// takes frames and snapshots, has them built, acknowledges what became of them and
// keeps the disk cache behind. It owns the node's position, the hashes that prove it and
// when to try again. It refuses to know entities: bodies are bytes for an Applier.
//
// The node never gets worse by talking: what does not start at the served position, does
// not have the root that it claims, can't be built or takes most entities away without
// saying that this is meant, is refused, and the node goes on with what it has.
package controlclient

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/crashloop"
	"github.com/sluice-gateway/sluice/dataplane/internal/diskcache"
)

// Plugin is a plugin that the node can run.
type Plugin struct {
	Name, Version string
	// SchemaHash is the SHA-256 of the plugin's rendered schema.
	SchemaHash []byte
}

// Options of a Client.
type Options struct {
	// Address of the control plane, host:port.
	Address string
	// TLS as tlsutil.Identity.Client makes it, where certificates do not change.
	TLS *tls.Config
	// Link gives each session its TLS, and takes the place of TLS; nil means TLS.
	Link Link
	// NodeID is a UUID that survives restarts; BootID is random per process.
	NodeID, BootID    string
	Hostname, Version string
	Labels            map[string]string
	Plugins           []Plugin
	// Applier builds and swaps.
	Applier config.Applier
	// Cache keeps what is served; nil keeps nothing.
	Cache *diskcache.Cache
	// Guard refuses what ends the process again and again; nil refuses nothing.
	Guard *crashloop.Guard
	// Fallback reads a configuration to start with when there is none in the cache; nil has
	// none.
	Fallback func() (config.Update, error)
	// Command answers a question of the control plane.
	Command func(ctx context.Context, target, name string, arguments json.RawMessage) (any, error)
	// Report makes the JSON facts of a beat; nil sends none.
	Report func() []byte
	// Traffic is sent every few seconds; nil sends none.
	Traffic Traffic
	// Patience is how long a node that has nothing else to serve waits for a configuration
	// later than what Guard refuses, before that is tried again; 0 means 10s.
	Patience time.Duration
	// MinBackoff and MaxBackoff bound the waits between tries; 0 means 100ms and 15s.
	MinBackoff, MaxBackoff time.Duration
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Link is how a node shows who it is while its certificates change.
type Link interface {
	// TLS is asked for before each session. An error is the session's: it is tried again.
	TLS(ctx context.Context) (*tls.Config, error)
	// Ended is told why a session ended. It says whether the next one may go better for that,
	// because TLS will do something about it.
	Ended(err error) (better bool)
}

// Facts are what the client knows.
type Facts struct {
	Position, Head config.Position
	Source         config.Source
	AppliedAt      time.Time
	Connected      bool
	// Behind means that the node had nothing, got a snapshot from shortly before the head
	// that it was promised, and waits for the rest: it should not get traffic yet.
	Behind bool
	// Held says why the control plane holds the node, "" when it does not.
	Held         string
	ControlError string
	CacheError   string
	Refused      config.Position
	Reasons      []config.EntityError
	// LeftOut is what is served without: what this node does not know, for example.
	LeftOut  []config.EntityError
	Entities int
	// Integrity is what the node has found out about what it has in memory.
	Integrity Integrity

	promised config.Position // the head when the session began
}

// Client follows one control plane. Facts may be called at any time.
type Client struct {
	o     Options
	log   hclog.Logger
	saver *saver

	// applying is held while something is applied or looked through. It guards state.
	applying sync.Mutex
	// waiting counts what waits for applying and must not wait for a look.
	waiting atomic.Int32
	state   *state

	decoder *decoder // of Run
	// leftovers are the chunks of a snapshot that did not become complete, by checksum.
	// Run owns them.
	leftovers leftovers

	mu    sync.Mutex
	facts Facts
	live  *asking  // what may ask the control plane now, nil for nothing
	at    *session // the one that lives, nil for none
	// hangUp ends the session that is or is being made, nil before the first.
	hangUp context.CancelCauseFunc
}

// New checks the options.
func New(o Options) (*Client, error) {
	switch {
	case o.Address == "":
		return nil, errors.New("control client needs an address")
	case o.TLS == nil && o.Link == nil:
		return nil, errors.New("control client needs TLS")
	case o.NodeID == "" || o.BootID == "":
		return nil, errors.New("control client needs a node id and a boot id")
	case o.Applier == nil:
		return nil, errors.New("control client needs an applier")
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.MinBackoff == 0 {
		o.MinBackoff = 100 * time.Millisecond
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 15 * time.Second
	}
	c := &Client{o: o, log: o.Logger, state: newState()}
	var err error
	if c.decoder, err = newDecoder(); err != nil {
		return nil, err
	}
	c.saver = newSaver(o.Cache, o.Logger, c.everything)
	return c, nil
}

// Facts returns what is known now.
func (c *Client) Facts() Facts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.facts
}

// lock takes applying, which a look at the memory then lets go as soon as it can.
func (c *Client) lock() {
	c.waiting.Add(1)
	c.applying.Lock()
	c.waiting.Add(-1)
}

func (c *Client) update(fn func(f *Facts)) {
	c.mu.Lock()
	fn(&c.facts)
	c.mu.Unlock()
}

func first(reasons []config.EntityError) string {
	if len(reasons) == 0 {
		return ""
	}
	return reasons[0].Error()
}

// Run follows the control plane until ctx ends, and then returns nil with everything
// that was acknowledged on disk.
func (c *Client) Run(ctx context.Context) error {
	var work sync.WaitGroup
	saving, stop := context.WithCancel(context.WithoutCancel(ctx))
	work.Go(func() { c.saver.run(saving, c) })
	checking, stopChecks := context.WithCancel(ctx)
	work.Go(func() { c.check(checking) })
	work.Go(func() { c.relent(checking) })
	defer func() {
		stopChecks()
		stop()
		work.Wait()
	}()
	wait := retry{min: c.o.MinBackoff, max: c.o.MaxBackoff}
	for {
		heard, hint, err := c.session(ctx)
		if ctx.Err() != nil {
			c.update(func(f *Facts) { f.Connected = false })
			return nil
		}
		judged := err
		if c.o.Link != nil && c.o.Link.Ended(err) {
			judged = nil // nothing that needs a long wait
		}
		if heard {
			wait.reset()
		}
		d := max(wait.next(judged), hint)
		c.update(func(f *Facts) {
			f.Connected, f.Behind = false, false
			f.ControlError = "disconnected"
			if err != nil {
				f.ControlError = err.Error()
			}
		})
		c.log.Warn("no control plane", "address", c.o.Address, "error", err, "retry_in", d.Round(time.Millisecond).String())
		timer := time.NewTimer(d)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// errGoodbye is the end of a session that the control plane wanted.
type goodbyeError struct{ reason string }

func (e *goodbyeError) Error() string {
	return fmt.Sprintf("the control plane says goodbye: %s", e.reason)
}
