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
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
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
	// TLS as tlsutil.Identity.Client makes it.
	TLS *tls.Config
	// NodeID is a UUID that survives restarts; BootID is random per process.
	NodeID, BootID    string
	Hostname, Version string
	Labels            map[string]string
	Plugins           []Plugin
	// Applier builds and swaps.
	Applier config.Applier
	// Cache keeps what is served; nil keeps nothing.
	Cache *diskcache.Cache
	// Command answers a question of the control plane.
	Command func(ctx context.Context, target, name string, arguments json.RawMessage) (any, error)
	// Report makes the JSON facts of a beat; nil sends none.
	Report func() []byte
	// Traffic is sent every few seconds; nil sends none.
	Traffic Traffic
	// MinBackoff and MaxBackoff bound the waits between tries; 0 means 100ms and 15s.
	MinBackoff, MaxBackoff time.Duration
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Facts are what the client knows.
type Facts struct {
	Position, Head config.Position
	Source         config.Source
	AppliedAt      time.Time
	Connected      bool
	// Held says why the control plane holds the node, "" when it does not.
	Held         string
	ControlError string
	CacheError   string
	Refused      config.Position
	Reasons      []config.EntityError
	Entities     int
}

// Client follows one control plane. Facts may be called at any time.
type Client struct {
	o     Options
	log   hclog.Logger
	state *state // owned by Restore, then by Run
	saver *saver

	mu    sync.Mutex
	facts Facts
	live  *asking // what may ask the control plane now, nil for nothing
}

// New checks the options.
func New(o Options) (*Client, error) {
	switch {
	case o.Address == "":
		return nil, errors.New("control client needs an address")
	case o.TLS == nil:
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
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 15 * time.Second
	}
	c := &Client{o: o, log: o.Logger, state: newState()}
	c.saver = newSaver(o.Cache, o.Logger)
	return c, nil
}

// Facts returns what is known now.
func (c *Client) Facts() Facts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.facts
}

func (c *Client) update(fn func(f *Facts)) {
	c.mu.Lock()
	fn(&c.facts)
	c.mu.Unlock()
}

// Restore serves what the disk cache holds. A cache that is damaged or empty is no
// error: the node waits for the control plane. It must be called before Run, or not at
// all.
func (c *Client) Restore(ctx context.Context) {
	if c.o.Cache == nil {
		return
	}
	loaded := c.o.Cache.Load()
	for _, fault := range loaded.Faults {
		c.log.Warn("disk cache is damaged", "fault", fault)
		c.update(func(f *Facts) { f.CacheError = fault })
	}
	u := loaded.Update
	if u.To.IsZero() {
		return
	}
	u.Source = config.SourceCache
	next, err := c.state.next(&u)
	if err != nil {
		c.log.Error("configuration of the disk cache is not used", "error", err)
		c.update(func(f *Facts) { f.CacheError = err.Error() })
		return
	}
	reasons, err := c.o.Applier.Apply(ctx, u)
	if err != nil {
		c.log.Error("configuration of the disk cache is not used", "revision", u.To.Revision, "error", err, "reason", first(reasons))
		c.update(func(f *Facts) { f.CacheError, f.Refused, f.Reasons = err.Error(), u.To, reasons })
		return
	}
	c.state = next
	c.saver.start(u)
	c.served(u)
	c.log.Info("serving configuration of the disk cache", "revision", u.To.Revision, "entities", next.tree.Count())
}

// served notes what the node serves from now on.
func (c *Client) served(u config.Update) {
	c.update(func(f *Facts) {
		f.Position, f.Source, f.AppliedAt, f.Entities = u.To, u.Source, time.Now(), c.state.tree.Count()
		f.Refused, f.Reasons, f.Held = config.Position{}, nil, ""
	})
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
	defer func() {
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
		if heard {
			wait.reset()
		}
		d := max(wait.next(err), hint)
		c.update(func(f *Facts) {
			f.Connected = false
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
