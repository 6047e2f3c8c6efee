package http1

import (
	"net/http"
	"sync/atomic"
	"time"
)

// dateText is a Date and the second that it is for.
type dateText struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[dateText]

// appendDate appends now in the form of the Date header, made once a second.
func appendDate(b []byte, now time.Time) []byte {
	second := now.Unix()
	d := lastDate.Load()
	if d == nil || d.second != second {
		d = &dateText{second, now.UTC().Format(http.TimeFormat)}
		lastDate.Store(d)
	}
	return append(b, d.text...)
}
