package resolver

import (
	"maps"
	"time"
)

// watch is a name that is kept up to date although nobody may look it up.
type watch struct {
	calls map[*Watch]func(*Answer)
	// guarded by the resolver's mu
}

// Watch is one caller's interest in a name.
type Watch struct {
	r    *Resolver
	name string
}

// Watch keeps a name up to date until Stop: it is resolved at once when it is not known
// (see Peek), and again before its answer ends. changed is called with every answer from
// then on, also one that is like the one before it, from a goroutine of the resolver; it
// must not block for long.
func (r *Resolver) Watch(name string, changed func(*Answer)) *Watch {
	w := &Watch{r: r, name: name}
	r.mu.Lock()
	all := r.watched[name]
	if all == nil {
		all = &watch{calls: map[*Watch]func(*Answer){}}
		r.watched[name] = all
	}
	next := maps.Clone(all.calls)
	next[w] = changed
	r.watched[name] = &watch{calls: next}
	r.mu.Unlock()
	r.nudge()
	return w
}

// Stop ends it. changed may be called once more.
func (w *Watch) Stop() {
	r := w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.watched[w.name]
	if all == nil {
		return
	}
	next := maps.Clone(all.calls)
	delete(next, w)
	if len(next) == 0 {
		delete(r.watched, w.name)
		return
	}
	r.watched[w.name] = &watch{calls: next}
}

// changed tells all watchers. A watch is immutable.
func (w *watch) changed(a *Answer) {
	for _, fn := range w.calls {
		fn(a)
	}
}

func (r *Resolver) nudge() {
	select {
	case r.due <- struct{}{}:
	default:
	}
}

// soonest bounds how often a watched name is asked for, and checkAgain how late one is
// looked at whose lifetime is 0.
const (
	soonest    = 100 * time.Millisecond
	checkAgain = time.Minute
)

// watchAll asks for watched names when they are due.
func (r *Resolver) watchAll() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := r.askDue()
		timer.Reset(wait)
		select {
		case <-r.ctx.Done():
			return
		case <-timer.C:
		case <-r.due:
			// What is nudged together is looked at together.
			timer.Reset(time.Millisecond)
			select {
			case <-r.ctx.Done():
				return
			case <-timer.C:
			}
		}
	}
}

// maxDue bounds the questions for watched names that are under way.
const maxDue = 64

// askDue asks for the watched names that are due and returns how long to wait.
func (r *Resolver) askDue() time.Duration {
	now := r.o.Now()
	wait := time.Hour
	var due []string
	r.mu.Lock()
	room := maxDue - len(r.asking)
	for name := range r.watched {
		if r.asking[name] != nil {
			continue
		}
		at := now
		if a := r.answer(name); a != nil {
			switch {
			case a.Until.IsZero():
				continue
			case a.Err == nil && a.TTL == 0:
				at = a.Until.Add(checkAgain)
			default:
				at = a.refresh
			}
		}
		if d := at.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		if len(due) >= room {
			wait = soonest
			continue
		}
		due = append(due, name)
	}
	r.mu.Unlock()
	for _, name := range due {
		r.ask(name, false)
	}
	return max(wait, soonest)
}
