// Package iprestriction is the plugin ip-restriction: clients are let in or kept out by
// their address. An address that deny has is kept out even when allow has it too.
package iprestriction

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is ip-restriction.
var Plugin = &pdk.Plugin{
	Name:     "ip-restriction",
	Priority: 990,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name: "ip-restriction",
	Fields: []schema.Field{
		schema.Protocols(schema.AllProtocols, "http", "https", "tcp", "tls", "grpc", "grpcs"),
		schema.PluginConfig(
			schema.ArrayOf(schema.IPOrCIDR()).Named("allow").Described("Addresses and ranges that are let in; all others are kept out."),
			schema.ArrayOf(schema.IPOrCIDR()).Named("deny").Described("Addresses and ranges that are kept out."),
			schema.Field{Name: "status", Type: schema.Number}.AsOptional().Described("Status of the answer; unset means 403."),
			schema.Field{Name: "message", Type: schema.String}.AsOptional().Described("Message of the answer; unset names the address."),
		),
	},
	Checks: []schema.EntityCheck{{AtLeastOneOf: []string{"config.allow", "config.deny"}}},
}

type config struct {
	Allow   []string `json:"allow"`
	Deny    []string `json:"deny"`
	Status  float64  `json:"status"`
	Message string   `json:"message"`
}

type plugin struct {
	allow, deny []netip.Prefix
	status      int
	message     string
}

func build(_ pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{status: int(c.Status), message: c.Message}
	if p.status == 0 {
		p.status = 403
	}
	var err error
	if p.allow, err = prefixes("allow", c.Allow); err != nil {
		return pdk.Phases{}, err
	}
	if p.deny, err = prefixes("deny", c.Deny); err != nil {
		return pdk.Phases{}, err
	}
	return pdk.Phases{Access: p.access}, nil
}

func prefixes(field string, list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p.Masked())
			continue
		}
		a, err := netip.ParseAddr(strings.Trim(text, "[]"))
		if err != nil {
			return nil, schema.Violate("config."+field, fmt.Sprintf("invalid ip or cidr range: '%s'", text))
		}
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out, nil
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func (p *plugin) access(x *pdk.Exchange) error {
	a := x.Request.Client.Addr().Unmap()
	if !a.IsValid() {
		return x.Fail(403, "Cannot identify the client IP address, unix domain sockets are not supported.")
	}
	if !contains(p.deny, a) && (len(p.allow) == 0 || contains(p.allow, a)) {
		return nil
	}
	message := p.message
	if message == "" {
		message = "IP address not allowed: " + a.String()
	}
	return x.Fail(p.status, message)
}
