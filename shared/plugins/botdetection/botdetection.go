// Package botdetection is the plugin bot-detection: programs that crawl are kept out by
// the name that they give themselves. What allow has is let in whatever else has it.
package botdetection

import (
	"slices"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is bot-detection.
var Plugin = &pdk.Plugin{
	Name:     "bot-detection",
	Priority: 2500,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name: "bot-detection",
	Fields: []schema.Field{
		schema.NoConsumer(),
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			schema.ArrayOf(schema.ValidRegex()).Named("allow").Defaults([]any{}).Described("Regular expressions over User-Agent of programs that are let in."),
			schema.ArrayOf(schema.ValidRegex()).Named("deny").Defaults([]any{}).Described("Regular expressions over User-Agent of programs that are kept out besides the known ones."),
		),
	},
}

type config struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

type plugin struct {
	allow, deny []*schema.Regex
	verdicts    verdicts
}

func build(_ pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{}
	var err error
	if p.allow, err = compile("allow", c.Allow); err != nil {
		return pdk.Phases{}, err
	}
	if p.deny, err = compile("deny", c.Deny); err != nil {
		return pdk.Phases{}, err
	}
	return pdk.Phases{Access: p.access}, nil
}

func compile(field string, list []string) ([]*schema.Regex, error) {
	out := make([]*schema.Regex, len(list))
	for i, text := range list {
		r, err := schema.CompileRegex(text)
		if err != nil {
			return nil, schema.Violate("config."+field, "not a valid regex: "+text)
		}
		out[i] = r
	}
	return out, nil
}

func (p *plugin) access(x *pdk.Exchange) error {
	switch x.Request.Header.Count("User-Agent") {
	case 0:
		return nil
	case 1:
	default:
		return x.Fail(400, "Only one User-Agent header allowed")
	}
	agent := x.Request.Header.Get("User-Agent")
	bot, seen := p.verdicts.get(agent)
	if !seen {
		bot = p.judge(strings.TrimSpace(agent))
		p.verdicts.put(agent, bot)
	}
	if bot {
		return x.Fail(403, "")
	}
	return nil
}

// judge tells whether a User-Agent is a program that is kept out.
func (p *plugin) judge(agent string) bool {
	matches := func(list []*schema.Regex) bool {
		return slices.ContainsFunc(list, func(r *schema.Regex) bool { return r.Match(agent) })
	}
	return !matches(p.allow) && (matches(p.deny) || matches(known))
}

const (
	// maxVerdicts bounds the names that are remembered, maxAgent their length in bytes.
	maxVerdicts = 8192
	maxAgent    = 512
)

// verdicts remembers what was judged: expressions take long. It is safe for concurrent use.
type verdicts struct {
	mu   sync.RWMutex
	bots map[string]bool
}

func (v *verdicts) get(agent string) (bot, seen bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	bot, seen = v.bots[agent]
	return bot, seen
}

func (v *verdicts) put(agent string, bot bool) {
	if len(agent) > maxAgent {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.bots == nil || len(v.bots) >= maxVerdicts {
		v.bots = map[string]bool{}
	}
	v.bots[strings.Clone(agent)] = bot
}
