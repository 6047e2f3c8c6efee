package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// built is the folder that the tests built the programs in, "" without a need.
var built string

func TestMain(m *testing.M) {
	if target := os.Getenv(grpcTarget); target != "" {
		if err := interopClient(target); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	if faultyBuilt != "" {
		_ = os.RemoveAll(faultyBuilt)
	}
	os.Exit(code)
}

// bin returns the folder of the programs, and builds them at the first need.
var bin = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("E2E_BIN"); dir != "" {
		return dir, nil
	}
	var err error
	if built, err = os.MkdirTemp("", "e2e-bin"); err != nil {
		return "", err
	}
	return built, build(built)
})

func build(dir string) error {
	for _, from := range []string{
		"controlplane/cmd/sluice-controlplane", "dataplane/cmd/sluice-dataplane", "scripts/e2e/cmd/upstream", "scripts/e2e/cmd/run",
	} {
		command := exec.Command("go", "build", "-o", filepath.Join(dir, filepath.Base(from)), "./"+from)
		command.Dir = filepath.Join("..", "..")
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", from, err, out)
		}
	}
	return nil
}

// program is one of ours, which a test starts, kills and starts again.
type program struct {
	t    testing.TB
	name string
	dir  string // folder of the program, "" for that of ours
	args []string
	env  []string // added to process.Environ
	wrap []string // a command that runs the program, such as ip netns exec
	proc *process.Process
}

func (p *program) start() {
	p.t.Helper()
	dir, err := p.dir, error(nil)
	if dir == "" {
		dir, err = bin()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	command := append(slices.Clone(p.wrap), append([]string{filepath.Join(dir, p.name)}, p.args...)...)
	if command[0], err = exec.LookPath(command[0]); err != nil {
		p.t.Fatal(err)
	}
	proc, err := process.Start(process.Options{Name: p.name, Path: command[0], Args: command[1:], Env: append(process.Environ(), p.env...)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.proc = proc
	p.t.Cleanup(func() {
		proc.Kill()
		if p.t.Failed() {
			p.t.Logf("%s (process %d) wrote:\n%s", p.name, proc.PID(), proc.Output())
		}
	})
}

// kill ends the program as a crash does.
func (p *program) kill() { p.proc.Kill() }

// stop ends it with SIGTERM, which must take less than 15 seconds and exit with 0.
func (p *program) stop() {
	p.t.Helper()
	if err := p.proc.Stop(15 * time.Second); err != nil {
		p.t.Errorf("%v\n%s", err, p.proc.Output())
	}
}

// ends waits for the program to end with exit code 0. A second signal would end it at
// once, and by the signal.
func (p *program) ends(timeout time.Duration) {
	p.t.Helper()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.proc.Done():
		if code := p.proc.ExitCode(); code != 0 {
			p.t.Errorf("%s ended with exit code %d\n%s", p.name, code, p.proc.Output())
		}
	case <-timer.C:
		p.t.Errorf("%s still runs after %v\n%s", p.name, timeout, p.proc.Output())
		p.proc.Kill()
	}
}

// fails runs the program to its end, which must come soon and not be success, and
// returns what it wrote.
func (p *program) fails() string {
	p.t.Helper()
	p.start()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	select {
	case <-p.proc.Done():
	case <-ctx.Done():
		p.t.Fatalf("%s is still running with %q\n%s", p.name, p.args, p.proc.Output())
	}
	if p.proc.ExitCode() == 0 {
		p.t.Errorf("%s exits with 0 with %q", p.name, p.args)
	}
	return p.proc.Output()
}

// eventually polls check until it returns nil.
func eventually(t testing.TB, within time.Duration, check func() error, alive ...*program) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var procs []*process.Process
	for _, p := range alive {
		procs = append(procs, p.proc)
	}
	if err := process.Poll(ctx, check, procs...); err != nil {
		t.Fatalf("after %v: %v", within, err)
	}
}
