package vault

import (
	"context"
	"time"
)

// least is how long Run waits between two rounds.
const least = time.Second

// Run reads secrets that configurations use again when they are due, until ctx ends, and
// calls changed with those that have another value now.
func (v *Vaults) Run(ctx context.Context, changed func(ctx context.Context, references map[string]bool)) error {
	timer := time.NewTimer(least)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-v.wake:
			// A secret is new: it may be due before all others.
		case <-timer.C:
			if now := v.round(); len(now) > 0 {
				changed(ctx, now)
			}
		}
		timer.Reset(v.wait())
	}
}

// round reads what is due.
func (v *Vaults) round() map[string]bool {
	now := v.o.Now()
	v.mu.Lock()
	var due []string
	for text, s := range v.secrets {
		switch {
		case s.fresh(now):
		case s.used:
			due = append(due, text)
		default:
			delete(v.secrets, text) // nobody waits for it
		}
	}
	v.mu.Unlock()
	changed := map[string]bool{}
	for _, text := range due {
		if s, different := v.refresh(text, now, true); different {
			changed[text] = true
			if s.err != nil {
				v.log.Error("secret is gone", "reference", text, "error", s.err)
			} else {
				v.log.Info("secret changed", "reference", text)
			}
		}
	}
	return changed
}

// wait is how long until the next secret is due.
func (v *Vaults) wait() time.Duration {
	now := v.o.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	wait := time.Hour
	for _, s := range v.secrets {
		if !s.due.IsZero() {
			wait = min(wait, s.due.Sub(now))
		}
	}
	return max(wait, least)
}

// Keep forgets which secrets are used, but for these.
func (v *Vaults) Keep(references map[string]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for text, s := range v.secrets {
		s.used = references[text]
	}
}
