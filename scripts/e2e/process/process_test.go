package process_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

func shell(t *testing.T, script string) *process.Process {
	t.Helper()
	p, err := process.Start(process.Options{Name: "shell", Path: "/bin/sh", Args: []string{"-c", script}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func waitFor(t *testing.T, p *process.Process, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := process.Poll(ctx, func() error {
		if strings.Contains(p.Output(), text) {
			return nil
		}
		return errors.New("no " + text)
	}, p); err != nil {
		t.Fatal(err)
	}
}

func TestStop(t *testing.T) {
	good := shell(t, `trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done`)
	waitFor(t, good, "up")
	if err := good.Stop(10 * time.Second); err != nil {
		t.Errorf("Stop: %v", err)
	}
	bad := shell(t, `trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done`)
	waitFor(t, bad, "up")
	if err := bad.Stop(10 * time.Second); err == nil || !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("Stop of one that exits with 3: %v", err)
	}
	deaf := shell(t, `trap '' TERM; echo up; while :; do sleep 0.01; done`)
	waitFor(t, deaf, "up")
	if err := deaf.Stop(50 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "still running") {
		t.Errorf("Stop of a deaf one: %v", err)
	}
	if deaf.ExitCode() != -1 {
		t.Errorf("exit code = %d, want -1 for a killed one", deaf.ExitCode())
	}
	if err := deaf.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("Signal after the end: %v", err)
	}
}

func TestPollReportsTheEndOfAProcess(t *testing.T) {
	p := shell(t, "echo last words; exit 7")
	err := process.Poll(t.Context(), func() error { return errors.New("not yet") }, p)
	if err == nil || !strings.Contains(err.Error(), "exit code 7") || !strings.Contains(err.Error(), "last words") {
		t.Errorf("Poll: %v", err)
	}
}

func TestCheckFreeNamesTheHolder(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	err = process.CheckFree(listener.Addr().String())
	if err == nil {
		t.Fatal("a port in use was called free")
	}
	if _, statErr := os.Stat("/proc/net/tcp"); statErr == nil && !strings.Contains(err.Error(), "is taken by process.test") {
		t.Errorf("CheckFree: %v, want it to name this process", err)
	}
	if err := process.CheckFree(process.FreeAddress()); err != nil {
		t.Errorf("CheckFree of a free address: %v", err)
	}
}

func TestEnvironHasNoSettings(t *testing.T) {
	t.Setenv("SLUICE_X", "1")
	t.Setenv("KONG_X", "1")
	for _, pair := range process.Environ() {
		if strings.HasPrefix(pair, "SLUICE_") || strings.HasPrefix(pair, "KONG_") {
			t.Errorf("Environ has %s", pair)
		}
	}
}
