package pdk

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/shared/lua"
)

// ValidatingEnv returns the Env that a control plane builds configs with, to find out
// whether a data plane could: it keeps nothing and starts nothing. A nil logger logs
// nothing. functions compiles what is written in Lua; nil compiles it as if untrusted_lua
// had its default. It is safe for concurrent use.
func ValidatingEnv(logger hclog.Logger, functions *lua.Pool) Env {
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	if functions == nil {
		functions = defaultFunctions()
	}
	return validatingEnv{logger, functions}
}

// defaultFunctions is one pool for all, which runs nothing.
var defaultFunctions = sync.OnceValue(func() *lua.Pool { //nolint:gochecknoglobals // made once, never changed
	p, err := lua.NewPool(lua.Options{Machines: 1})
	if err != nil {
		panic(err) // the interpreter is not the one that we were built for
	}
	return p
})

type validatingEnv struct {
	logger    hclog.Logger
	functions *lua.Pool
}

func (e validatingEnv) ID() string                             { return "" }
func (e validatingEnv) Logger() hclog.Logger                   { return e.logger }
func (e validatingEnv) CacheSize() int64                       { return DefaultCacheSize }
func (e validatingEnv) Shared(_ string, create func() any) any { return create() }
func (e validatingEnv) Lua() *lua.Pool                         { return e.functions }
func (e validatingEnv) Each(func(key string, state any))       {}

func (e validatingEnv) PluginID() string                             { return "" }
func (e validatingEnv) Scope() (routeID, serviceID, consumer string) { return "", "", "" }
func (e validatingEnv) Control() Control                             { return NoControl{} }
func (e validatingEnv) Slot() int                                    { return 0 }
func (e validatingEnv) Go(func(ctx context.Context))                 {}

func (e validatingEnv) Every(time.Duration, func(ctx context.Context)) {}
func (e validatingEnv) Validating() bool                               { return true }
