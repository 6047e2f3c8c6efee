package dataplane

import (
	"context"
	"net/netip"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/lua/kit"
)

// functions makes the machines on which functions in Lua run.
func (d *DataPlane) functions() (*lua.Pool, error) {
	mode, _ := lua.ParseMode(d.s.String("untrusted_lua")) // settings allow no other
	trusted, err := networks(d.s.List("trusted_ips"))
	if err != nil {
		return nil, err
	}
	return kit.NewPool(kit.Options{
		Limits: lua.Limits{Instructions: d.s.Int("untrusted_lua_max_instructions"), Memory: d.s.Size("untrusted_lua_max_memory")},
		Sandbox: lua.Sandbox{
			Mode: mode, Requires: d.s.List("untrusted_lua_sandbox_requires"), Environment: d.s.List("untrusted_lua_sandbox_environment"),
		},
		NodeID: d.id,
		Trusted: func(a netip.Addr) bool {
			for _, t := range trusted {
				if t.Contains(a) {
					return true
				}
			}
			return false
		},
		Vault: d.vaults.Get,
		Settings: map[string]string{
			"role": d.s.String("role"), "database": d.s.String("database"), "prefix": d.s.Path("prefix"), "router_flavor": d.s.String("router_flavor"),
			"untrusted_lua": d.s.String("untrusted_lua"), "log_level": d.s.String("log_level"),
		},
		Logger: d.log.Named("plugin.lua"),
	})
}

// watchSecrets builds again what refers to secrets that change.
func (d *DataPlane) watchSecrets(ctx context.Context) error {
	return d.vaults.Run(ctx, func(ctx context.Context, references map[string]bool) {
		if err := d.plans.Refresh(ctx, references); err != nil {
			d.log.Error("secrets changed, but the configuration does not work with them", "error", err)
		}
	})
}
