// Command controlplane is a control plane with Sluice's plugins and faulty.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"example.com/faultplugin/faulty"

	"github.com/sluice-gateway/sluice/controlplane"
	"github.com/sluice-gateway/sluice/shared/lifecycle"
	"github.com/sluice-gateway/sluice/shared/logging"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/settings"
)

func main() {
	if err := run(); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	s, err := settings.Load(settings.Options{Plane: settings.ControlPlane, Args: os.Args[1:], Environ: os.Environ()})
	if err != nil {
		return err
	}
	logger, err := logging.New(logging.Options{Name: "cp", Level: s.String("log_level"), JSON: s.String("log_format") == "json"})
	if err != nil {
		return err
	}
	ctx, stop := lifecycle.Signals(context.Background(), nil)
	defer stop()
	plane, err := controlplane.New(ctx, controlplane.Options{
		Settings: s, Logger: logger, Registry: plugins.NewRegistry(append(slices.Clone(plugins.All), faulty.Plugin)),
	})
	if err != nil {
		return err
	}
	return plane.Run(ctx)
}
