package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// needs skips a test on a machine without a program; CI has them all.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing: scripts/deps.sh installs it", name)
			}
			t.Skipf("%s is missing: scripts/deps.sh installs it", name)
		}
	}
}

// worstExposure is what a unit may be rated at most, in tenths: systemd calls up to 4 "ok".
const worstExposure = "20"

// TestUnits lets systemd read the units: without a warning, and with little exposed.
func TestUnits(t *testing.T) {
	needs(t, "systemd-analyze")
	for _, name := range []string{"sluice-controlplane", "sluice-dataplane"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("systemd", name+".service"))
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{"DynamicUser=yes", "AmbientCapabilities=CAP_NET_BIND_SERVICE", "ProtectSystem=strict", "NoNewPrivileges=yes"} {
				if !strings.Contains(string(text), "\n"+line+"\n") {
					t.Errorf("%s is missing", line)
				}
			}
			// systemd wants the program to be there.
			program := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil { //nolint:gosec // a program
				t.Fatal(err)
			}
			unit := filepath.Join(t.TempDir(), name+".service")
			checked := strings.ReplaceAll(string(text), "/usr/bin/"+name, program)
			if checked == string(text) {
				t.Errorf("it does not start /usr/bin/%s", name)
			}
			if err := os.WriteFile(unit, []byte(checked), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
			rate := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold="+worstExposure, unit)
			if out, err := rate.CombinedOutput(); err != nil {
				t.Errorf("it is exposed by more than %s tenths: %v\n%s", worstExposure, err, out)
			}
		})
	}
}
