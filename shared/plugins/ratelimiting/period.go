package ratelimiting

import "time"

// period is the index of a length of time in periods.
type period uint8

const (
	second period = iota
	minute
	hour
	day
	month
	year
	periodCount
)

// periods in ascending order. length is what Reset and Retry-After count from, in
// seconds; a month is one of the calendar nevertheless.
var periods = [periodCount]struct {
	name, label string
	length      int64
}{
	{"second", "Second", 1},
	{"minute", "Minute", 60},
	{"hour", "Hour", 3600},
	{"day", "Day", 86400},
	{"month", "Month", 30 * 86400},
	{"year", "Year", 365 * 86400},
}

// windows are the calendar's windows (UTC) that a moment is in.
type windows struct {
	// id numbers the windows of a period, one after the other.
	id [periodCount]uint64
	// start in seconds since 1970.
	start [periodCount]int64
	now   int64
}

// fill computes the windows of the periods that are needed: month and year cost more.
func (w *windows) fill(t time.Time, calendar bool) {
	s := t.Unix()
	w.now = s
	for p := second; p <= day; p++ {
		length := periods[p].length
		w.id[p] = uint64(s / length)
		w.start[p] = s - s%length
	}
	if !calendar {
		return
	}
	y, m, _ := t.UTC().Date()
	w.id[month], w.id[year] = uint64(y*12+int(m)), uint64(y)
	w.start[month] = time.Date(y, m, 1, 0, 0, 0, 0, time.UTC).Unix()
	w.start[year] = time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
}

// reset returns the seconds until a window ends, 1 at least.
func (w *windows) reset(p period) int64 {
	return max(1, periods[p].length-(w.now-w.start[p]))
}
