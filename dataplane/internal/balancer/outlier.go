package balancer

import (
	"fmt"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
)

// outlier counts the failures of an address among its requests.
type outlier struct {
	mu       sync.Mutex
	inARow   int
	all, bad int       // of the interval that began at from
	from     time.Time // the zero value has not begun
	times    int       // it was ejected so often, lately
	at       time.Time // of the last time
	detail   string
}

func (o *outlier) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inARow, o.all, o.bad, o.from, o.times = 0, 0, 0, time.Time{}, 0
}

// last returns when the address was ejected last, and why.
func (o *outlier) last() (time.Time, string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at, o.detail
}

// judge counts a request, and ejects its address when it fails more than it should and
// not too much of the upstream is out already.
func (u *Upstream) judge(d *entity.OutlierDetection, a *address, failed bool) {
	now := time.Now()
	o := &a.state.outlier
	o.mu.Lock()
	if interval := seconds(d.Interval); o.from.IsZero() || interval > 0 && now.Sub(o.from) >= interval {
		o.from, o.all, o.bad = now, 0, 0
	}
	o.all++
	detail := ""
	if failed {
		o.inARow++
		o.bad++
		switch {
		case d.ConsecutiveErrors > 0 && o.inARow >= d.ConsecutiveErrors:
			detail = fmt.Sprintf("%d failures in a row", o.inARow)
		case d.ErrorPercent > 0 && o.all >= d.MinRequests && float64(o.bad)*100 >= d.ErrorPercent*float64(o.all):
			detail = fmt.Sprintf("%d of %d requests failed", o.bad, o.all)
		}
	} else {
		o.inARow = 0
	}
	o.mu.Unlock()
	if detail != "" {
		u.eject(d, a, detail, now)
	}
}

// eject takes an address out for a while. Each time takes longer than the one before,
// unless that is long ago.
func (u *Upstream) eject(d *entity.OutlierDetection, a *address, detail string, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := a.state
	at := now.UnixNano()
	if s.ejected.Load() > at {
		return // requests that were under way
	}
	total, out := uint64(0), uint64(a.weight)
	for _, b := range u.now.Load().all {
		if b.target.Entity.Failover == a.target.Entity.Failover {
			total += uint64(b.weight)
			if b.state.ejected.Load() > at {
				out += uint64(b.weight)
			}
		}
	}
	o := &s.outlier
	o.mu.Lock()
	defer o.mu.Unlock()
	o.inARow, o.all, o.bad, o.from = 0, 0, 0, time.Time{}
	if float64(out)*100 > d.MaxEjectedPercent*float64(total) {
		if u.group.b.log.IsDebug() {
			u.group.b.log.Debug("target is not ejected, too much of its upstream would be", "upstream", u.Entity.Name, "target", s.key.target, "address", s.address, "detail", detail)
		}
		return
	}
	longest := seconds(d.MaxEjectionTime)
	if now.Sub(o.at) > longest+seconds(d.EjectionTime)*time.Duration(o.times+1) {
		o.times = 0
	}
	o.times++
	took := min(seconds(d.EjectionTime)*time.Duration(o.times), max(longest, seconds(d.EjectionTime)))
	o.at, o.detail = now, detail
	until := now.Add(took)
	s.rampFrom.Store(until.UnixNano())
	s.ejected.Store(until.UnixNano())
	u.group.changed()
	u.group.b.log.Warn("target is ejected", "upstream", u.Entity.Name, "target", s.key.target, "address", s.address, "detail", detail, "for", took.String())
}
