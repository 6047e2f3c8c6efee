package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
)

// compareRouters runs the comparison with Go's routers. It is a module of its own, outside
// of go.work, for what it depends on is nobody else's business.
func compareRouters(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	command := exec.CommandContext(ctx, "go", "run", ".", "-scale", strconv.Itoa(o.scale))
	command.Dir = filepath.Join("scripts", "bench", "routers")
	command.Env = append(os.Environ(), "GOWORK=off")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("compare routers: %w", err)
	}
	return nil
}
