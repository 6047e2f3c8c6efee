package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A document of 20,000 entities takes less than 300 MiB of memory, its export included,
// which gives the same bytes each time. The times are for whoever reads the log.
func TestLargeImport(t *testing.T) {
	c := newCluster(t, 0)
	var b strings.Builder
	b.WriteString("_format_version: '3.0'\nservices:\n")
	for i := range 4000 {
		fmt.Fprintf(&b, "- name: service-%d\n  host: upstream-%d\n  routes:\n", i, i)
		fmt.Fprintf(&b, "  - {name: route-%d, paths: [/%d], plugins: [{name: rate-limiting, config: {minute: 5, policy: local}}]}\n", i, i)
	}
	b.WriteString("consumers:\n")
	for i := range 4000 {
		fmt.Fprintf(&b, "- username: consumer-%d\n  keyauth_credentials:\n  - key: key-%d\n", i, i)
	}
	start := time.Now()
	c.must("POST", "/config", b.String(), 201, headers{"Content-Type", "text/yaml"})
	took := time.Since(start)
	start = time.Now()
	exported := c.get("/config").text("config")
	t.Logf("import took %v, export %v", took, time.Since(start))
	if again := c.get("/config").text("config"); again != exported || !strings.Contains(exported, "consumer-3999") {
		t.Error("the export is not stable")
	}
	c.peaksBelow(300)
}

// peaksBelow checks how much memory the control plane took at most, in MiB.
func (c *cluster) peaksBelow(most int) {
	c.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.control.proc.PID()))
	if err != nil {
		c.t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	peak, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		c.t.Fatal(err)
	}
	if c.t.Logf("the control plane took %d MiB at most", peak>>10); peak > most<<10 {
		c.t.Errorf("the control plane took %d MiB, want at most %d", peak>>10, most)
	}
}

// A document of 16 MB, with 140,000 entities that take 100 MB in the store, is streamed: it
// would take 700 MiB if it was held as objects. A node is connected meanwhile.
func TestStreamedImport(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	c := newCluster(t, 1)
	document := func(host string) string {
		var b strings.Builder
		b.WriteString(`{"_format_version":"3.0","services":[`)
		for i := range 35_000 {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"name":"service-%d","host":"%s","tags":["made","team-%d"],"connect_timeout":1000,"routes":[`, i, host, i%100)
			for j := range 3 {
				if j > 0 {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, `{"name":"route-%d-%d","paths":["/a/%d/%d"],"hosts":["h%d.test"],"methods":["GET","POST"],"tags":["made","from a long list"]}`, i, j, i, j, i)
			}
			b.WriteString(`]}`)
		}
		b.WriteString(`],"consumers":[{"username":"last"}]}`)
		return b.String()
	}
	first := document("one.test")
	start := time.Now()
	c.must("POST", "/config", first, 201, headers{"Content-Type", "application/json"})
	t.Logf("%d MB took %v", len(first)>>20, time.Since(start))
	c.peaksBelow(280)
	start = time.Now()
	c.must("POST", "/config", strings.Replace(first, `"host":"one.test"`, `"host":"other.test"`, 1), 201, headers{"Content-Type", "application/json"})
	t.Logf("again with one change: %v", time.Since(start))
	if host := c.get("/services/service-0").text("host"); host != "other.test" {
		t.Errorf("the changed service has host %s", host)
	}
	c.must("POST", "/config", `{"_format_version":"3.0"}`, 201, headers{"Content-Type", "application/json"})
	if left := c.get("/routes").text("next"); left != "" {
		t.Errorf("routes are left: %s", left)
	}
}

// declarative_config_string is the configuration at the start, as in Kong, and is not shown.
func TestDeclarativeConfigString(t *testing.T) {
	c := newCluster(t, 0, "--declarative_config_string", `{"_format_version":"3.0","services":[{"name":"inline","host":"h"}]}`)
	if host := c.get("/services/inline").text("host"); host != "h" {
		t.Errorf("the service has host %s", host)
	}
	if shown := c.get("/").text("configuration", "declarative_config_string"); strings.Contains(shown, "inline") {
		t.Error("the document is shown")
	}
}
