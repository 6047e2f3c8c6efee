// Command run is make run: a control plane, one data plane and an example upstream
// on this machine until Ctrl-C. It owns the order of start and stop, the addresses
// and the sentences on the screen; everything else is the programs' own.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

func main() {
	// A child ends with the thread that started it, so that thread must stay.
	runtime.LockOSThread()
	if err := run(os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "make run:", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	var s stack
	flag.StringVar(&s.admin, "admin", "127.0.0.1:8001", "address of the Admin API")
	flag.StringVar(&s.manager, "manager", "127.0.0.1:8002", "address of the web UI")
	flag.StringVar(&s.cluster, "cluster", "127.0.0.1:8005", "address where the data plane connects")
	flag.StringVar(&s.controlStatus, "control-status", "127.0.0.1:8006", "status address of the control plane")
	flag.StringVar(&s.proxy, "proxy", "0.0.0.0:8000", "address of the proxy")
	flag.StringVar(&s.proxyTLS, "proxy-tls", "0.0.0.0:8443", "address of the proxy for HTTPS")
	flag.StringVar(&s.dataStatus, "data-status", "127.0.0.1:8007", "status address of the data plane")
	flag.StringVar(&s.upstream, "upstream", "127.0.0.1:8100", "address of the example upstream")
	flag.StringVar(&s.state, "state", ".run", "folder of the store, the cache and the logs")
	flag.Parse()

	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.bin = filepath.Dir(self)
	if s.state, err = filepath.Abs(s.state); err != nil {
		return err
	}
	restore := takeTerminal()
	defer restore()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	if err := s.checkPorts(); err != nil {
		return err
	}
	defer s.closeLogs()
	if err := s.start(ctx); err != nil {
		stopErr := s.stop()
		if ctx.Err() != nil && stopErr == nil {
			return nil
		}
		return err
	}
	s.welcome(ctx, out)
	ended := s.wait(ctx)
	_, _ = fmt.Fprintln(out, "\nStopping.")
	if err := s.stop(); err != nil && ended == nil {
		return err
	}
	return ended
}

// startTimeout bounds the wait for each program to be ready.
const startTimeout = 30 * time.Second
