package pdk

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
)

// ValidatingEnv returns the Env that a control plane builds configs with, to find out
// whether a data plane could: it keeps nothing and starts nothing. A nil logger logs
// nothing. It is safe for concurrent use.
func ValidatingEnv(logger hclog.Logger) Env {
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	return validatingEnv{logger}
}

type validatingEnv struct{ logger hclog.Logger }

func (e validatingEnv) ID() string                             { return "" }
func (e validatingEnv) Logger() hclog.Logger                   { return e.logger }
func (e validatingEnv) CacheSize() int64                       { return DefaultCacheSize }
func (e validatingEnv) Shared(_ string, create func() any) any { return create() }
func (e validatingEnv) Each(func(key string, state any))       {}

func (e validatingEnv) PluginID() string                             { return "" }
func (e validatingEnv) Scope() (routeID, serviceID, consumer string) { return "", "", "" }
func (e validatingEnv) Control() Control                             { return NoControl{} }
func (e validatingEnv) Slot() int                                    { return 0 }
func (e validatingEnv) Go(func(ctx context.Context))                 {}

func (e validatingEnv) Every(time.Duration, func(ctx context.Context)) {}
func (e validatingEnv) Validating() bool                               { return true }
