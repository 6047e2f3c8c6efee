package e2e

import (
	"syscall"
	"testing"
)

// pause stops a node's process without ending it, until the test ends.
func pause(t *testing.T, n *node) {
	t.Helper()
	if err := n.proc.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.proc.Signal(syscall.SIGCONT) })
}
