package pdk

import "time"

// GRPCTimeOver tells whether the time that a gRPC client gives its call, in the header
// grpc-timeout, is over at now.
func GRPCTimeOver(x *Exchange, now time.Time) bool {
	if !x.IsGRPC() {
		return false
	}
	limit, ok := grpcTimeout(x.Request.Header.Get("grpc-timeout"))
	return ok && now.Sub(x.Start) >= limit
}

// grpcTimeout reads up to eight digits and a unit.
func grpcTimeout(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > 9 {
		return 0, false
	}
	n := time.Duration(0)
	for i := range len(s) - 1 {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + time.Duration(s[i]-'0')
	}
	switch s[len(s)-1] {
	case 'H':
		return min(n, 1e6) * time.Hour, true
	case 'M':
		return n * time.Minute, true
	case 'S':
		return n * time.Second, true
	case 'm':
		return n * time.Millisecond, true
	case 'u':
		return n * time.Microsecond, true
	case 'n':
		return n, true
	}
	return 0, false
}
