package proxycache

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// unset is the value of a directive that is not there.
const unset = -1

// directives are those of Cache-Control that matter here. Times are in seconds, unset
// when they are not there.
type directives struct {
	noStore, noCache, private, public bool
	onlyIfCached, mustRevalidate      bool
	maxAge, sharedMaxAge              int64
	maxStale, minFresh                int64
}

// parseDirectives reads all Cache-Control lines of a header. It does not allocate.
func parseDirectives(h *pdk.Header) directives {
	d := directives{maxAge: unset, sharedMaxAge: unset, maxStale: unset, minFresh: unset}
	fields := h.Fields()
	for i := range fields {
		if !pdk.EqualFold(fields[i].Name, "Cache-Control") {
			continue
		}
		rest := fields[i].Value
		for rest != "" {
			var part string
			part, rest = nextDirective(rest)
			name, value, hasValue := strings.Cut(part, "=")
			d.set(strings.TrimSpace(name), strings.Trim(strings.TrimSpace(value), `"`), hasValue)
		}
	}
	return d
}

// nextDirective cuts at the first comma that is not quoted.
func nextDirective(s string) (part, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func (d *directives) set(name, value string, hasValue bool) {
	switch {
	case pdk.EqualFold(name, "no-store"):
		d.noStore = true
	case pdk.EqualFold(name, "no-cache"):
		d.noCache = true
	case pdk.EqualFold(name, "private"):
		d.private = true
	case pdk.EqualFold(name, "public"):
		d.public = true
	case pdk.EqualFold(name, "only-if-cached"):
		d.onlyIfCached = true
	case pdk.EqualFold(name, "must-revalidate"), pdk.EqualFold(name, "proxy-revalidate"):
		d.mustRevalidate = true
	case pdk.EqualFold(name, "max-age"):
		d.maxAge = seconds(value)
	case pdk.EqualFold(name, "s-maxage"):
		d.sharedMaxAge = seconds(value)
	case pdk.EqualFold(name, "max-stale"):
		d.maxStale = math.MaxInt32 // without a value: however stale
		if hasValue {
			d.maxStale = seconds(value)
		}
	case pdk.EqualFold(name, "min-fresh"):
		d.minFresh = seconds(value)
	}
}

// seconds reads a time; what is none counts as 0, the careful choice.
func seconds(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return min(n, math.MaxInt32)
}

// lifetime returns how many seconds an answer says that it stays fresh.
func (d *directives) lifetime(h *pdk.Header, now time.Time) int64 {
	switch {
	case d.sharedMaxAge != unset:
		return d.sharedMaxAge
	case d.maxAge != unset:
		return d.maxAge
	}
	if v := h.Get("Expires"); v != "" {
		if at, err := parseDate(v); err == nil {
			return max(0, at.Unix()-now.Unix())
		}
	}
	return 0
}

func parseDate(s string) (time.Time, error) {
	t, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", s)
	if err == nil {
		return t, nil
	}
	if t, err = time.Parse(time.RFC850, s); err == nil {
		return t, nil
	}
	return time.Parse(time.ANSIC, s)
}
