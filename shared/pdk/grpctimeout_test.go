package pdk_test

import (
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestGRPCTimeOver(t *testing.T) {
	start := time.Now()
	for value, limit := range map[string]time.Duration{
		"1n": 1, "20u": 20 * time.Microsecond, "300m": 300 * time.Millisecond, "4S": 4 * time.Second, "5M": 5 * time.Minute,
		"6H": 6 * time.Hour, "99999999H": 1e6 * time.Hour, "": -1, "5": -1, "S": -1, "5s": -1, "-1S": -1, "123456789S": -1,
	} {
		x := &pdk.Exchange{Start: start}
		x.Request.Header.Add("Content-Type", "application/grpc")
		x.Request.Header.Add("grpc-timeout", value)
		x.Request.Proto = 20
		if limit < 0 {
			if pdk.GRPCTimeOver(x, start.Add(1e9*time.Second)) {
				t.Errorf("%q is a time", value)
			}
			continue
		}
		if pdk.GRPCTimeOver(x, start.Add(limit-1)) || !pdk.GRPCTimeOver(x, start.Add(limit)) {
			t.Errorf("%q is not %v", value, limit)
		}
		x.Request.Header.Del("Content-Type")
		if pdk.GRPCTimeOver(x, start.Add(limit)) {
			t.Error("that is no gRPC")
		}
	}
}
