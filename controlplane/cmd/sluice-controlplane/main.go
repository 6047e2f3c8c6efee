// Command sluice-controlplane keeps the configuration, serves the Admin API and streams
// to data planes what they are to do.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sluice-gateway/sluice/controlplane"
	"github.com/sluice-gateway/sluice/shared/command"
	"github.com/sluice-gateway/sluice/shared/lifecycle"
	"github.com/sluice-gateway/sluice/shared/logging"
	"github.com/sluice-gateway/sluice/shared/settings"
	"github.com/sluice-gateway/sluice/shared/version"
)

const program = "sluice-controlplane"

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
		os.Exit(1)
	}
}

func run(args []string, out, errs io.Writer) error {
	if words := command.Words(args); len(words) >= 2 && words[0] == "hybrid" && words[1] == "gen_cert" {
		return generate(words[2:], out) // it needs no settings, and has flags of its own
	}
	s, err := settings.Load(settings.Options{Plane: settings.ControlPlane, Args: args, Environ: os.Environ()})
	switch {
	case errors.Is(err, settings.ErrHelp):
		_, err = fmt.Fprintln(out, settings.Usage(settings.ControlPlane, program)+commands)
		return err
	case errors.Is(err, settings.ErrVersion):
		return printVersion(out)
	case err != nil:
		return err
	}
	words := command.Words(s.Args())
	if len(words) == 0 {
		return serve(s, errs)
	}
	switch name := words[0]; {
	case name == "start" && len(words) == 1:
		return serve(s, errs)
	case name == "version" && len(words) == 1:
		return printVersion(out)
	case name == "health" && len(words) == 1:
		return command.Health(context.Background(), s.Listeners("status_listen"), s.Listeners("admin_listen"), out)
	case name == "config" && len(words) == 1:
		_, err = io.WriteString(out, settings.Example(settings.ControlPlane, program))
		return err
	case name == "migrations":
		return command.Migrations(words[1:], out)
	case name == "admin-token":
		return controlplane.AdminToken(context.Background(), s, words[1:], out)
	case name == "backup" && len(words) == 2:
		return controlplane.Backup(context.Background(), s, words[1])
	case name == "restore" && len(words) == 2:
		return controlplane.Restore(context.Background(), s, words[1])
	default:
		return fmt.Errorf("unknown command %q\n%s", words, commands)
	}
}

const commands = `
Commands:
  start                            serve (what is done without a command)
  version                          print the version
  health                           ask the control plane that runs with the same settings
  config                           print an example file of all settings
  hybrid gen_cert [-d DAYS] [--keep] [CERT KEY]
                                   make a certificate for cluster_mtls=shared; --keep leaves one that is there
  admin-token create NAME [role=read-only|editor|admin] [workspace=NAME] [expires=30d] [comment=TEXT]
                                   make a token for the Admin API and print it
  admin-token list                 list the tokens, without what is secret of them
  admin-token revoke NAME          end a token
  backup FILE                      copy the store of a control plane that does not run
  restore FILE                     make a copy the store; nodes follow it
`

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
