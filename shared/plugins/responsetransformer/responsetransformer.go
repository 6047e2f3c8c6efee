// Package responsetransformer is the plugin response-transformer: it edits the headers of
// answers, and the members of those that are JSON objects. It takes out, renames, replaces
// what is there, adds what is not, and appends, in this order.
package responsetransformer

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/payload"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is response-transformer.
var Plugin = &pdk.Plugin{
	Name:     "response-transformer",
	Priority: 800,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

// MaxBody bounds a body that is edited, in bytes. Longer ones stay as they are.
const MaxBody = 8 << 20

const pair = "^[^:]+:.*$"

func list(name, match string) schema.Field {
	return schema.ArrayOf(schema.Field{Type: schema.String, Match: match}).Named(name).AsRequired().Defaults([]any{})
}

func types() schema.Field {
	return schema.ArrayOf(schema.OneOf("boolean", "number", "string")).Named("json_types").AsRequired().Defaults([]any{}).
		Described("Types of the values of json, in the same order; string where there is none.")
}

func step(name, description string, fields ...schema.Field) schema.Field {
	return schema.RecordOf(fields...).Named(name).AsRequired().Described(description)
}

var pluginSchema = &schema.Schema{
	Name: "response-transformer",
	Fields: []schema.Field{
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			step("remove", "Names of what is taken out.", list("json", ""), list("headers", "")),
			step("rename", "Old and new names, as old:new.", list("json", pair), list("headers", pair)),
			step("replace", "What is set where it is there, as name:value.", list("json", pair), types(), list("headers", pair)),
			step("add", "What is set where it is not there, as name:value.", list("json", pair), types(), list("headers", pair)),
			step("append", "What is added to what is there, as name:value.", list("json", pair), types(), list("headers", pair)),
		),
	},
}

type stepConfig struct {
	JSON      []string `json:"json"`
	JSONTypes []string `json:"json_types"`
	Headers   []string `json:"headers"`
}

type config struct {
	Remove  stepConfig `json:"remove"`
	Rename  stepConfig `json:"rename"`
	Replace stepConfig `json:"replace"`
	Add     stepConfig `json:"add"`
	Append  stepConfig `json:"append"`
}

// entry is a name with a value, which for members may be JSON that is no string.
type entry struct {
	name, value string
	raw         bool
}

// entries takes "name:value" apart. types are those of members, nil for headers.
func entries(texts, types []string) []entry {
	out := make([]entry, len(texts))
	for i, text := range texts {
		name, value, _ := strings.Cut(text, ":")
		e := entry{name: strings.TrimSpace(name), value: value}
		if i < len(types) {
			switch types[i] {
			case "number":
				if n, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
					if b, err := json.Marshal(n); err == nil {
						e.value, e.raw = string(b), true
					}
				}
			case "boolean":
				e.value, e.raw = strconv.FormatBool(strings.TrimSpace(value) == "true"), true
			}
		}
		out[i] = e
	}
	return out
}

// edits of the headers, or of the members.
type edits struct {
	remove                       []string
	rename, replace, add, append []entry
}

func (e *edits) empty() bool {
	return len(e.remove)+len(e.rename)+len(e.replace)+len(e.add)+len(e.append) == 0
}

type plugin struct {
	headers, members edits
	slot             int
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{
		headers: edits{c.Remove.Headers, entries(c.Rename.Headers, nil), entries(c.Replace.Headers, nil), entries(c.Add.Headers, nil), entries(c.Append.Headers, nil)},
		members: edits{
			c.Remove.JSON, entries(c.Rename.JSON, nil), entries(c.Replace.JSON, c.Replace.JSONTypes), entries(c.Add.JSON, c.Add.JSONTypes),
			entries(c.Append.JSON, c.Append.JSONTypes),
		},
	}
	phases := pdk.Phases{HeaderFilter: p.headerFilter}
	if !p.members.empty() {
		p.slot = env.Slot()
		phases.BodyFilter = p.bodyFilter
	}
	return phases, nil
}

// gathered is a body that is edited once it is whole.
type gathered struct {
	body []byte
	// passed is set when it grew too large, and goes on as it is.
	passed bool
}

func (p *plugin) headerFilter(x *pdk.Exchange) error {
	h := &x.Response.Header
	for _, name := range p.headers.remove {
		h.Del(name)
	}
	for _, r := range p.headers.rename {
		values := h.Values(nil, r.name)
		if len(values) == 0 {
			continue
		}
		to := strings.TrimSpace(r.value)
		h.Del(r.name)
		h.Del(to)
		for _, v := range values {
			h.Add(to, v)
		}
	}
	for _, r := range p.headers.replace {
		if h.Has(r.name) {
			h.Set(r.name, r.value)
		}
	}
	for _, a := range p.headers.add {
		if !h.Has(a.name) {
			h.Set(a.name, a.value)
		}
	}
	for _, a := range p.headers.append {
		h.Add(a.name, a.value)
	}
	if !p.members.empty() && payload.KindOf(h.Get("Content-Type")) == payload.JSON && h.Get("Content-Encoding") == "" {
		*x.Slot(p.slot) = &gathered{}
	}
	return nil
}

func (p *plugin) bodyFilter(x *pdk.Exchange, piece []byte, last bool) ([]byte, error) {
	g, _ := (*x.Slot(p.slot)).(*gathered)
	if g == nil || g.passed {
		return piece, nil
	}
	g.body = append(g.body, piece...)
	if len(g.body) > MaxBody {
		g.passed = true
		return g.body, nil
	}
	if !last {
		return nil, nil
	}
	body, err := payload.Parse("application/json", g.body)
	if err != nil {
		return g.body, nil //nolint:nilerr // what is no object goes on as it is
	}
	p.edit(body)
	return body.Encode(), nil
}

func (p *plugin) edit(body *payload.Payload) {
	for _, name := range p.members.remove {
		body.Del(name)
	}
	for _, r := range p.members.rename {
		body.Rename(r.name, r.value)
	}
	set := func(e entry) {
		if e.raw {
			body.SetJSON(e.name, e.value)
		} else {
			body.Set(e.name, e.value)
		}
	}
	for _, r := range p.members.replace {
		if body.Has(r.name) {
			set(r)
		}
	}
	for _, a := range p.members.add {
		if !body.Has(a.name) {
			set(a)
		}
	}
	for _, a := range p.members.append {
		if a.raw {
			body.AddJSON(a.name, a.value)
		} else {
			body.Add(a.name, a.value)
		}
	}
}
