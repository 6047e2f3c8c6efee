// Package logging sets hclog up once for a process. It owns the names of Kong's log
// levels, the choice between text and JSON, and the last guard against secrets: the
// value of a pair whose key says that it is one is masked. It refuses to write
// access logs, which are not messages, and to be a global: the logger is passed on
// through Options.
package logging

import (
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
)

// Options choose how and how much is logged.
type Options struct {
	// Name of the process in each line, such as "cp" or "dp".
	Name string
	// Level is one of Kong's: debug, info, notice, warn, error, crit, alert, emerg.
	// "" means notice.
	Level string
	// JSON writes one object a line instead of text.
	JSON bool
	// Output is os.Stderr when nil.
	Output io.Writer
}

// New returns the root logger of a process. Its level can be changed while it runs
// with SetLevel(Level(name)), for all named loggers that came from it.
func New(o Options) (hclog.Logger, error) {
	if o.Level == "" {
		o.Level = "notice"
	}
	level, ok := Level(o.Level)
	if !ok {
		return nil, fmt.Errorf("log level %q is not one of Kong's", o.Level)
	}
	if o.Output == nil {
		o.Output = os.Stderr
	}
	inner := hclog.NewInterceptLogger(&hclog.LoggerOptions{
		Name:       o.Name,
		Level:      level,
		Output:     o.Output,
		JSONFormat: o.JSON,
		TimeFormat: "2006-01-02T15:04:05.000Z07:00",
	})
	return guard{inner}, nil
}

// Level translates one of Kong's levels. The lifecycle of a process, which hclog
// calls info, is what an operator reads at notice; so notice lets info through and
// debug lets traces stay hidden.
func Level(name string) (hclog.Level, bool) {
	switch name {
	case "debug":
		return hclog.Debug, true
	case "info", "notice":
		return hclog.Info, true
	case "warn":
		return hclog.Warn, true
	case "error", "crit", "alert", "emerg":
		return hclog.Error, true
	}
	return hclog.NoLevel, false
}
