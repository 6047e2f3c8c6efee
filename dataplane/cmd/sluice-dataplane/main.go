// Command sluice-dataplane proxies traffic as its control plane says, and goes on doing
// so while the control plane is away.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane"
	"github.com/sluice-gateway/sluice/shared/command"
	"github.com/sluice-gateway/sluice/shared/lifecycle"
	"github.com/sluice-gateway/sluice/shared/logging"
	"github.com/sluice-gateway/sluice/shared/settings"
	"github.com/sluice-gateway/sluice/shared/version"
)

const program = "sluice-dataplane"

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
		os.Exit(1)
	}
}

func run(args []string, out, errs io.Writer) error {
	s, err := settings.Load(settings.Options{Plane: settings.DataPlane, Args: args, Environ: os.Environ()})
	switch {
	case errors.Is(err, settings.ErrHelp):
		_, err = fmt.Fprintln(out, settings.Usage(settings.DataPlane, program)+commands)
		return err
	case errors.Is(err, settings.ErrVersion):
		return printVersion(out)
	case err != nil:
		return err
	}
	switch words := command.Words(s.Args()); {
	case len(words) == 0, len(words) == 1 && words[0] == "start":
		return serve(s, errs)
	case len(words) == 1 && words[0] == "version":
		return printVersion(out)
	case len(words) == 1 && words[0] == "health":
		return command.Health(context.Background(), s.Listeners("status_listen"), s.Listeners("proxy_listen"), out)
	case words[0] == "drain":
		return command.Drain(context.Background(), words[1:], s.Listeners("status_listen"), out)
	case len(words) == 1 && words[0] == "config":
		_, err = io.WriteString(out, settings.Example(settings.DataPlane, program))
		return err
	case words[0] == "migrations":
		return command.Migrations(words[1:], out)
	default:
		return fmt.Errorf("unknown command %q\n%s", words, commands)
	}
}

const commands = `
Commands:
  start            serve (what is done without a command)
  version          print the version
  health           ask the node that runs with the same settings
  drain [SECONDS]  make that node not ready, and wait (5 seconds) until load balancers know
  config           print an example file of all settings
`

func printVersion(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%s %s\n", program, version.Sluice())
	return err
}

func serve(s *settings.Settings, errs io.Writer) error {
	target := errs
	var file *reopened
	if log := s.Log("proxy_error_log"); s.IsSet("proxy_error_log") && !log.Off {
		var err error
		if file, err = openLog(log.Path); err != nil {
			return fmt.Errorf("proxy_error_log: %w", err)
		}
		defer func() { _ = file.Close() }()
		target = file
	}
	logger, err := logging.New(logging.Options{Name: "dp", Level: s.String("log_level"), JSON: s.String("log_format") == "json", Output: target})
	if err != nil {
		return err
	}
	for _, warning := range s.Warnings() {
		logger.Warn(warning)
	}
	profiled, err := profile()
	if err != nil {
		return err
	}
	defer profiled()
	node, err := dataplane.New(dataplane.Options{Settings: s, Logger: logger})
	if err != nil {
		return err
	}
	ctx, stop := lifecycle.Signals(context.Background(), func() { reload(node, file, logger) })
	defer stop()
	return node.Run(ctx)
}

func reload(node *dataplane.DataPlane, file *reopened, logger hclog.Logger) {
	if file != nil {
		if err := file.Reopen(); err != nil {
			logger.Error("error log is not reopened", "error", err)
		}
	}
	node.Reload()
}

// openLog opens a log file with its folder.
func openLog(path string) (*reopened, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	r := &reopened{path: path}
	return r, r.Reopen()
}
