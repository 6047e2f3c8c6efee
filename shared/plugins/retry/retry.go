// Package retry is the plugin retry, which Kong does not have: when a try at a target that
// failed is followed by another one, in place of the service's retries and Kong's rules.
// It owns the policy and its budget; the data plane does the trying.
package retry

import (
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is retry.
var Plugin = &pdk.Plugin{
	Name:   "retry",
	Schema: pluginSchema,
	Build:  pdk.Build(build),
}

var faults = map[string]pdk.Fault{
	"connect": pdk.FaultConnect, "timeout": pdk.FaultTimeout, "reset": pdk.FaultReset, "invalid": pdk.FaultInvalid, "status": pdk.FaultStatus,
}

var pluginSchema = &schema.Schema{
	Name: "retry",
	Fields: []schema.Field{
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			schema.Field{Name: "retries", Type: schema.Integer, Default: 2, Required: true, Between: []float64{0, 100}}.
				Described("The most further tries after the first one."),
			schema.SetOf(schema.OneOf("connect", "timeout", "reset", "invalid", "status")).Named("on").Defaults([]any{"connect", "timeout", "reset"}).AsRequired().
				Described("What lets a try fail: no connection, an answer that does not come in time, a connection that breaks before an answer, an answer that is no HTTP, a status of those in statuses."),
			schema.ArrayOf(schema.Field{Type: schema.Integer, Between: []float64{100, 599}}).Named("statuses").Defaults([]any{502, 503, 504}).
				Described("Statuses of answers that let a try fail when on has status."),
			schema.SetOf(schema.HTTPMethod()).Named("methods").Defaults([]any{"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"}).AsRequired().
				Described("Methods of requests that may be sent again although a target may have received them; others are tried again only while nothing was sent."),
			milliseconds("per_try_timeout", "Milliseconds to the head of the answer of one try, connecting included; the service's timeouts count when it is not set."),
			milliseconds("backoff", "Milliseconds before the first further try; each one after it waits twice as long. 0 does not wait.").Defaults(25),
			milliseconds("max_backoff", "The most milliseconds between two tries.").Defaults(250),
			schema.Field{Name: "budget_percent", Type: schema.Number, Default: 20, Required: true, Between: []float64{0, 100}}.
				Described("The most further tries as a share of the requests of the last ten seconds, on each node."),
			schema.Field{Name: "budget_min", Type: schema.Integer, Default: 10, Required: true, Between: []float64{0, 100000}}.
				Described("Further tries that ten seconds may have whatever their share is."),
			milliseconds("hedge_after", "Milliseconds after which a second target is asked as well while the first has not answered; the first answer counts. Off when it is not set."),
		),
	},
}

func milliseconds(name, description string) schema.Field {
	return schema.Field{Name: name, Type: schema.Integer, Between: []float64{0, 3600000}}.Described(description)
}

type config struct {
	Retries       int      `json:"retries"`
	On            []string `json:"on"`
	Statuses      []int    `json:"statuses"`
	Methods       []string `json:"methods"`
	PerTryTimeout int      `json:"per_try_timeout"`
	Backoff       int      `json:"backoff"`
	MaxBackoff    int      `json:"max_backoff"`
	BudgetPercent float64  `json:"budget_percent"`
	BudgetMin     int      `json:"budget_min"`
	HedgeAfter    int      `json:"hedge_after"`
}

type plugin struct {
	policy pdk.RetryPolicy
	budget *budget
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	if c.MaxBackoff > 0 && c.MaxBackoff < c.Backoff {
		return pdk.Phases{}, schema.Violate("config.max_backoff", "must not be less than backoff")
	}
	p := &plugin{}
	p.budget, _ = env.Shared("budget "+env.PluginID(), func() any { return new(budget) }).(*budget)
	percent, least := c.BudgetPercent, c.BudgetMin
	p.policy = pdk.RetryPolicy{
		Retries: c.Retries, Statuses: c.Statuses, Methods: c.Methods, PerTry: duration(c.PerTryTimeout),
		Backoff: duration(c.Backoff), MaxBackoff: duration(c.MaxBackoff), Hedge: duration(c.HedgeAfter),
		Allow: func() bool { return p.budget.take(time.Now(), percent, least) },
	}
	for _, name := range c.On {
		p.policy.On |= faults[name]
	}
	return pdk.Phases{Access: p.access}, nil
}

func duration(milliseconds int) time.Duration { return time.Duration(milliseconds) * time.Millisecond }

func (p *plugin) access(x *pdk.Exchange) error {
	p.budget.request(x.Start)
	x.Retry = &p.policy
	return nil
}
