package hub

import (
	"fmt"
	"strings"
	"testing"
)

// TestReports holds that what a node tells is bounded, and that what can not be read is
// passed over.
func TestReports(t *testing.T) {
	for _, nothing := range []string{"", "{", "[]", `{"other":1}`, `{"balancer":null}`, `{"balancer":"x"}`, `{"balancer":{"detail":"` + strings.Repeat("x", maxReport) + `"}}`} {
		if r := report([]byte(nothing)); r != (Facts{}) {
			t.Errorf("%.40s: %+v", nothing, r)
		}
	}
	var list []string
	for i := range maxTroubles + 50 {
		list = append(list, fmt.Sprintf(`{"upstream":"u","target":"t%d","health":"UNHEALTHY"}`, i))
	}
	list[0] = `{"upstream":"u","target":"t","health":"DNS_ERROR","since":5,"why":"names","detail":"` + strings.Repeat("y", 1000) + `"}`
	facts := report([]byte(`{"configuration":{"entities":5,"routes":2,"disk_bytes":700},"balancer":{"upstreams":1,"targets":2000,"unhealthy":1050,"troubles":[` + strings.Join(list, ",") + `]}}`))
	r := facts.Balancer
	if c := facts.Configuration; c == nil || *c != (ConfigurationReport{5, 2, 700}) {
		t.Errorf("%+v", facts.Configuration)
	}
	if r == nil || len(r.Troubles) != maxTroubles || r.Unhealthy != 1050 || r.Targets != 2000 {
		t.Fatalf("%+v", r)
	}
	i := report([]byte(`{"integrity":{"found":2,"repaired":1,"kind":"routes","id":"r","message":"` + strings.Repeat("y", 1000) + `","at":7}}`)).Integrity
	if i == nil || i.Found != 2 || i.Repaired != 1 || i.Kind != "routes" || len(i.Message) != maxDetail || i.At != 7 {
		t.Errorf("%+v", i)
	}
	if first := r.Troubles[0]; len(first.Detail) != maxDetail || first.Health != "DNS_ERROR" || first.Since != 5 || first.Why != "names" {
		t.Errorf("%+v", first)
	}
}
