package rawio

import "time"

// Deadline remembers what a connection's deadline was set to, so that it is set again
// only when it is far off. The zero value is of a connection without one.
type Deadline struct {
	at  time.Time
	set bool
}

// Due returns whether a deadline has to be set for a timeout that starts now, and to
// what; the zero time removes it. Long timeouts may be an eighth longer.
func (d *Deadline) Due(now time.Time, timeout time.Duration) (time.Time, bool) {
	if timeout <= 0 {
		if !d.set {
			return time.Time{}, false
		}
		*d = Deadline{}
		return time.Time{}, true
	}
	slack := time.Duration(0)
	if timeout >= 5*time.Second {
		slack = timeout / 8
	}
	if d.set {
		if left := d.at.Sub(now); left >= timeout && left <= timeout+slack {
			return time.Time{}, false
		}
	}
	d.at, d.set = now.Add(timeout+slack), true
	return d.at, true
}
