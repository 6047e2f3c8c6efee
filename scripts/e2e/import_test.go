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
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.control.proc.PID()))
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	peak, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	if t.Logf("the control plane took %d MiB at most", peak>>10); peak > 300<<10 {
		t.Errorf("the control plane took %d MiB, want at most 300", peak>>10)
	}
}
