package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// needs skips a test that needs a program which the machine lacks, and fails it
// where nothing may be skipped.
func needs(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs %s, which CI must have (scripts/deps.sh installs it)", name)
	}
	t.Skipf("skipped: needs %s (scripts/deps.sh installs it)", name)
}

// make run prints commands that work, keeps its state, and leaves nothing behind.
func TestRun(t *testing.T) {
	needs(t, "curl")
	names := []string{"-admin", "-manager", "-cluster", "-control-status", "-proxy", "-proxy-tls", "-data-status", "-upstream"}
	args := []string{"-state", t.TempDir()}
	var addresses []string
	for _, name := range names {
		address := process.FreeAddress()
		args, addresses = append(args, name, address), append(addresses, address)
	}
	for round, want := range []int{3, 1} {
		p := &program{t: t, name: "run", args: args}
		p.start()
		eventually(t, 2*soon, func() error {
			if !strings.Contains(p.proc.Output(), "Ctrl-C stops everything.") {
				return errors.New("make run is not ready")
			}
			return nil
		}, p)
		commands := regexp.MustCompile(`(?m)^  (curl .*)$`).FindAllStringSubmatch(p.proc.Output(), -1)
		if len(commands) != want {
			t.Fatalf("round %d: %d commands are printed, want %d:\n%s", round+1, len(commands), want, p.proc.Output())
		}
		for i, command := range commands {
			// A route serves milliseconds after it was made; a person does not type that fast.
			eventually(t, soon, func() error {
				out, err := exec.Command("sh", "-c", command[1]+" --silent --show-error").CombinedOutput()
				if !regexp.MustCompile(`^HTTP/1\.1 20[01] `).Match(out) {
					return errors.New(command[1] + ": " + string(out))
				}
				return err
			}, p)
			t.Logf("command %d works: %s", i+1, command[1])
		}
		if err := p.proc.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		eventually(t, soon, func() error {
			select {
			case <-p.proc.Done():
				return nil
			default:
				return errors.New("make run does not end after SIGINT:\n" + p.proc.Output())
			}
		})
		if code := p.proc.ExitCode(); code != 0 {
			t.Errorf("exit code %d after SIGINT:\n%s", code, p.proc.Output())
		}
		for _, address := range addresses {
			if err := process.CheckFree(address); err != nil {
				t.Errorf("left behind: %v", err)
			}
		}
	}
	// A port that is taken is named before anything starts.
	listener, err := net.Listen("tcp", addresses[3])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	p := &program{t: t, name: "run", args: args}
	if out := p.fails(); !strings.Contains(out, addresses[3]) || strings.Contains(out, "running") {
		t.Errorf("with a taken port:\n%s", out)
	}
}
