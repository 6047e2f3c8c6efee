// Package calendar knows the windows that plugins count in: seconds, minutes, hours,
// days, months and years by the UTC calendar.
package calendar

import "time"

// Period is the index of a length of time in Periods.
type Period uint8

// Periods that there are.
const (
	Second Period = iota
	Minute
	Hour
	Day
	Month
	Year
	Count
)

// Periods in ascending order. Length is what Reset counts from, in seconds; a month is
// one of the calendar nevertheless.
var Periods = [Count]struct {
	Name, Label string
	Length      int64
}{
	{"second", "Second", 1},
	{"minute", "Minute", 60},
	{"hour", "Hour", 3600},
	{"day", "Day", 86400},
	{"month", "Month", 30 * 86400},
	{"year", "Year", 365 * 86400},
}

// Windows are the calendar's windows (UTC) that a moment is in.
type Windows struct {
	// ID numbers the windows of a period, one after the other.
	ID [Count]uint64
	// Start in seconds since 1970.
	Start [Count]int64
	// Now is the moment, in seconds since 1970.
	Now int64
}

// Fill computes the windows of the periods that are needed: month and year cost more.
func (w *Windows) Fill(t time.Time, calendar bool) {
	s := t.Unix()
	w.Now = s
	for p := Second; p <= Day; p++ {
		length := Periods[p].Length
		w.ID[p] = uint64(s / length)
		w.Start[p] = s - s%length
	}
	if !calendar {
		return
	}
	y, m, _ := t.UTC().Date()
	w.ID[Month], w.ID[Year] = uint64(y*12+int(m)), uint64(y)
	w.Start[Month] = time.Date(y, m, 1, 0, 0, 0, 0, time.UTC).Unix()
	w.Start[Year] = time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
}

// Reset returns the seconds until a window ends, 1 at least.
func (w *Windows) Reset(p Period) int64 {
	return max(1, Periods[p].Length-(w.Now-w.Start[p]))
}

// Expiry is how long a window must be kept, in seconds: as long as the longest of its
// kind at least.
func Expiry(p Period) int64 {
	if p >= Month {
		return Periods[p].Length + 86400
	}
	return Periods[p].Length
}
