// Command sluice-controlplane keeps the configuration, serves the Admin API and streams
// to data planes what they are to do.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/controlplane"
	"github.com/sluice-gateway/sluice/shared/lifecycle"
	"github.com/sluice-gateway/sluice/shared/logging"
	"github.com/sluice-gateway/sluice/shared/settings"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
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
	words := s.Args()
	if len(words) == 0 {
		return serve(s, errs)
	}
	switch command := words[0]; {
	case command == "start" && len(words) == 1:
		return serve(s, errs)
	case command == "version" && len(words) == 1:
		return printVersion(out)
	case command == "health" && len(words) == 1:
		return health(s, out)
	case command == "hybrid" && len(words) >= 2 && words[1] == "gen_cert":
		return generate(words[2:], out)
	case command == "admin-token":
		return controlplane.AdminToken(context.Background(), s, words[1:], out)
	case command == "backup" && len(words) == 2:
		return controlplane.Backup(context.Background(), s, words[1])
	case command == "restore" && len(words) == 2:
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
  hybrid gen_cert [CERT KEY [DAYS]]  make a certificate for cluster_mtls=shared
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

// health asks the control plane whether it is ready.
func health(s *settings.Settings, out io.Writer) error {
	listeners := s.Listeners("status_listen")
	if len(listeners) == 0 {
		return errors.New("health: status_listen is off")
	}
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + listeners[0].Address + "/status/ready")
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("health: %s: %s", response.Status, body)
	}
	_, err = fmt.Fprintf(out, "%s\n", body)
	return err
}

// generate makes a certificate and its key, as `kong hybrid gen_cert` does.
func generate(args []string, out io.Writer) error {
	cert, key, life := "cluster.crt", "cluster.key", tlsutil.DefaultLife
	switch len(args) {
	case 0:
	case 2, 3:
		cert, key = args[0], args[1]
	default:
		return errors.New("hybrid gen_cert: give both files or none")
	}
	if len(args) == 3 {
		days, err := strconv.Atoi(args[2])
		if err != nil || days < 1 {
			return fmt.Errorf("hybrid gen_cert: %q is not a number of days", args[2])
		}
		life = time.Duration(days) * 24 * time.Hour
	}
	certificate, private, err := tlsutil.Generate(tlsutil.Name, life, time.Now())
	if err != nil {
		return err
	}
	if err := tlsutil.WritePair(cert, key, certificate, private); err != nil {
		return fmt.Errorf("hybrid gen_cert: %w", err)
	}
	for i, path := range []string{cert, key} {
		if full, err := filepath.Abs(path); err == nil {
			path = full
		}
		if _, err := fmt.Fprintf(out, "%s: %s\n", []string{"cluster_cert", "cluster_cert_key"}[i], path); err != nil {
			return err
		}
	}
	return nil
}
