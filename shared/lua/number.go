package lua

import (
	"math"
	"strconv"
	"strings"
)

// Number writes a number as Lua does.
func Number(f float64) string {
	switch {
	case f == math.Trunc(f) && math.Abs(f) < 1e14:
		if f == 0 && math.Signbit(f) {
			return "-0"
		}
		return strconv.FormatInt(int64(f), 10)
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	return strconv.FormatFloat(f, 'g', 14, 64)
}

// parseNumber reads a number as Lua writes it.
func parseNumber(s string) (float64, bool) {
	s = strings.Trim(s, " \t\n\v\f\r")
	if strings.ContainsAny(s, "_iInN") { // nothing that only Go knows
		return 0, false
	}
	unsigned := strings.TrimLeft(s, "+-")
	if hex, ok := strings.CutPrefix(strings.ToLower(unsigned), "0x"); ok {
		if !strings.Contains(hex, "p") {
			n, err := strconv.ParseUint(hex, 16, 64)
			if err != nil {
				return 0, false
			}
			if strings.HasPrefix(s, "-") {
				return -float64(n), true
			}
			return float64(n), true
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}
