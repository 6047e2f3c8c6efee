// Command sluice-controlplane keeps the configuration, serves the Admin API and streams
// to data planes what they are to do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/sluice-gateway/sluice/controlplane"
	"github.com/sluice-gateway/sluice/shared/command"
	"github.com/sluice-gateway/sluice/shared/lifecycle"
	"github.com/sluice-gateway/sluice/shared/logging"
	"github.com/sluice-gateway/sluice/shared/settings"
	"github.com/sluice-gateway/sluice/shared/version"
)

const program = "sluice-controlplane"

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	if err == nil {
		return
	}
	_, _ = fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
	if _, ok := errors.AsType[*usageError](err); ok {
		os.Exit(exitUsage)
	}
	if errors.Is(err, controlplane.ErrWrong) {
		os.Exit(exitFound)
	}
	os.Exit(exitFailed)
}

func run(args []string, out, errs io.Writer) error {
	if words := command.Words(args); len(words) >= 2 && words[0] == "hybrid" && words[1] == "gen_cert" && !slices.Contains(words, "--help") {
		return generate(words[2:], out) // it needs no settings, and has flags of its own
	}
	s, err := settings.Load(settings.Options{Plane: settings.ControlPlane, Args: args, Environ: os.Environ(), Pass: flagNames()})
	switch {
	case errors.Is(err, settings.ErrHelp):
		_, err = fmt.Fprintln(out, settings.Usage(settings.ControlPlane, program)+list())
		return err
	case errors.Is(err, settings.ErrVersion):
		return printVersion(out)
	case err != nil:
		return err
	}
	found, words, err := find(command.Words(s.Args()))
	if err != nil {
		return err
	}
	rest, flags, err := found.parse(words)
	if errors.Is(err, flag.ErrHelp) {
		_, err = fmt.Fprint(out, found.usage())
		return err
	}
	if err != nil {
		return err
	}
	return found.run(context.Background(), &call{s: s, args: rest, flags: flags, out: out, errs: errs})
}

func printVersion(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%s %s (Kong's Admin API %s)\n", program, version.Sluice(), version.Kong)
	return err
}

func serve(s *settings.Settings, errs io.Writer) error {
	logger, err := logging.New(logging.Options{Name: "cp", Level: s.String("log_level"), JSON: s.String("log_format") == "json", Output: errs})
	if err != nil {
		return err
	}
	for _, warning := range s.Warnings() {
		logger.Warn(warning)
	}
	ctx, stop := lifecycle.Signals(context.Background(), nil)
	defer stop()
	plane, err := controlplane.New(ctx, controlplane.Options{Settings: s, Logger: logger})
	if err != nil {
		return err
	}
	return plane.Run(ctx)
}
