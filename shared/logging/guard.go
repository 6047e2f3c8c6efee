package logging

import (
	"strings"

	"github.com/hashicorp/go-hclog"
)

// Masked is logged in place of a secret.
const Masked = "******"

// secretWords are parts of keys whose values are never written.
var secretWords = []string{"password", "secret", "token", "authorization", "apikey", "api_key", "private_key", "cert_key", "cookie"}

// guard masks the values of secret keys on their way to hclog. It is a seat belt:
// code must not pass secrets in the first place.
type guard struct {
	hclog.Logger
}

func (g guard) Log(level hclog.Level, msg string, args ...any) {
	g.Logger.Log(level, msg, mask(args)...)
}
func (g guard) Trace(msg string, args ...any)       { g.Logger.Trace(msg, mask(args)...) }
func (g guard) Debug(msg string, args ...any)       { g.Logger.Debug(msg, mask(args)...) }
func (g guard) Info(msg string, args ...any)        { g.Logger.Info(msg, mask(args)...) }
func (g guard) Warn(msg string, args ...any)        { g.Logger.Warn(msg, mask(args)...) }
func (g guard) Error(msg string, args ...any)       { g.Logger.Error(msg, mask(args)...) }
func (g guard) With(args ...any) hclog.Logger       { return guard{g.Logger.With(mask(args)...)} }
func (g guard) Named(name string) hclog.Logger      { return guard{g.Logger.Named(name)} }
func (g guard) ResetNamed(name string) hclog.Logger { return guard{g.Logger.ResetNamed(name)} }

// RegisterSink has what is logged from now on go to a sink, too, by this logger and all
// that have its root. Secrets are masked there as well.
func (g guard) RegisterSink(s hclog.SinkAdapter) {
	if l, ok := g.Logger.(hclog.InterceptLogger); ok {
		l.RegisterSink(s)
	}
}

// DeregisterSink ends that.
func (g guard) DeregisterSink(s hclog.SinkAdapter) {
	if l, ok := g.Logger.(hclog.InterceptLogger); ok {
		l.DeregisterSink(s)
	}
}

// mask copies args only when there is something to hide.
func mask(args []any) []any {
	var out []any
	for i := 0; i+1 < len(args); i += 2 {
		key, ok := args[i].(string)
		if !ok || !isSecret(key) {
			continue
		}
		if out == nil {
			out = append([]any(nil), args...)
		}
		out[i+1] = Masked
	}
	if out == nil {
		return args
	}
	return out
}

func isSecret(key string) bool {
	lower := strings.ToLower(key)
	for _, word := range secretWords {
		if strings.Contains(lower, word) {
			return true
		}
	}
	return false
}
