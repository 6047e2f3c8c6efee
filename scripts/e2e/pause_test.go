package e2e

import (
	"syscall"
	"testing"
)

// pause stops a node's process without ending it, until the test ends.
func pause(t *testing.T, n *node) {
	t.Helper()
	stopped(t, n.program)
}

// stopped does so with any program, and returns what lets it go on.
func stopped(t *testing.T, p *program) (goOn func()) {
	t.Helper()
	proc := p.proc
	if err := proc.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn = func() { _ = proc.Signal(syscall.SIGCONT) }
	t.Cleanup(goOn)
	return goOn
}
