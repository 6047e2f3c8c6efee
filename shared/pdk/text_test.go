package pdk_test

import (
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestTextKeepsStringsApart(t *testing.T) {
	var text pdk.Text
	long := strings.Repeat("x", 5000)
	got := []string{
		text.Concat("a", "", "bc"), text.Int(-42), text.Bytes([]byte("raw")), text.Concat(), text.Concat(long, "y"),
		text.Keep(append(text.Room(4), "late"...)), text.Keep(append(text.Room(1), strings.Repeat("z", 9000)...)), text.Int(7),
	}
	want := []string{"abc", "-42", "raw", "", long + "y", "late", strings.Repeat("z", 9000), "7"}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("string %d: got %.20q..., want %.20q...", i, got[i], want[i])
		}
	}
}

func TestExchangeStringsDoNotAllocate(t *testing.T) {
	x := new(pdk.Exchange)
	r := new(countRelease)
	n := testing.AllocsPerRun(100, func() {
		x.Request.Header.Add("X-Forwarded-For", x.Text.Concat("1.1.1.1", ", ", "127.0.0.1"))
		x.Response.Header.Add("X-Kong-Proxy-Latency", x.Text.Int(12))
		x.OnRelease(r)
		x.Reset()
	})
	if n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
	if r.n != 101 {
		t.Errorf("got %d releases, want 101", r.n)
	}
}

type countRelease struct{ n int }

func (c *countRelease) Release() { c.n++ }
