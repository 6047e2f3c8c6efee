// Package requesttransformer is the plugin request-transformer: it edits the method, path,
// headers, query and body of what the upstream gets. For each of them it takes out,
// renames, replaces what is there, adds what is not, and appends, in this order. Values
// may be templates over the request as the client sent it.
package requesttransformer

import (
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/payload"
)

// Plugin is request-transformer.
var Plugin = &pdk.Plugin{
	Name:     "request-transformer",
	Priority: 801,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

// MaxBody bounds a body that is edited, in bytes. Longer ones stay as they are.
const MaxBody = 8 << 20

type stepConfig struct {
	Body        []string `json:"body"`
	Headers     []string `json:"headers"`
	Querystring []string `json:"querystring"`
	URI         string   `json:"uri"`
}

type config struct {
	HTTPMethod string     `json:"http_method"`
	Remove     stepConfig `json:"remove"`
	Rename     stepConfig `json:"rename"`
	Replace    stepConfig `json:"replace"`
	Add        stepConfig `json:"add"`
	Append     stepConfig `json:"append"`
}

// edits of one part of a request, step by step.
type edits struct {
	remove                       []string
	rename, replace, add, append []named
}

func (e *edits) empty() bool {
	return len(e.remove)+len(e.rename)+len(e.replace)+len(e.add)+len(e.append) == 0
}

type plugin struct {
	method               string
	uri                  *template
	headers, query, body edits
}

func build(_ pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{method: c.HTTPMethod}
	var err error
	if c.Replace.URI != "" {
		if p.uri, err = parseTemplate(c.Replace.URI); err != nil {
			return pdk.Phases{}, err
		}
	}
	part := func(of func(s *stepConfig) []string) (e edits) {
		e.remove = of(&c.Remove)
		for _, step := range []struct {
			from *stepConfig
			into *[]named
		}{{&c.Rename, &e.rename}, {&c.Replace, &e.replace}, {&c.Add, &e.add}, {&c.Append, &e.append}} {
			list, compileErr := compile(of(step.from))
			if compileErr != nil && err == nil {
				err = compileErr
			}
			*step.into = list
		}
		return e
	}
	p.headers = part(func(s *stepConfig) []string { return s.Headers })
	p.query = part(func(s *stepConfig) []string { return s.Querystring })
	p.body = part(func(s *stepConfig) []string { return s.Body })
	if err != nil {
		return pdk.Phases{}, err
	}
	return pdk.Phases{Access: p.access}, nil
}

func (p *plugin) access(x *pdk.Exchange) error {
	// Templates see the headers as they came.
	var original pdk.Header
	for _, f := range x.Request.Header.Fields() {
		original.Add(f.Name, f.Value)
	}
	if p.method != "" {
		x.Upstream.Method = p.method
		if p.method == "GET" || p.method == "HEAD" || p.method == "TRACE" {
			formToQuery(x)
		}
	}
	if p.uri != nil {
		if path := p.uri.value(x, &original); path != "" {
			if path[0] != '/' {
				path = "/" + path
			}
			x.Upstream.Path = escapePath(path)
		}
	}
	if !p.headers.empty() {
		p.editHeaders(x, &original)
	}
	if !p.query.empty() {
		p.editQuery(x, &original)
	}
	if !p.body.empty() {
		p.editBody(x, &original)
	}
	return nil
}

// formToQuery adds the arguments of a form to the query: a method without a body hides
// them otherwise.
func formToQuery(x *pdk.Exchange) {
	if payload.KindOf(x.Request.Header.Get("Content-Type")) != payload.Form {
		return
	}
	form, err := x.BufferBody(MaxBody)
	if err != nil || len(form) == 0 {
		return
	}
	b := []byte(x.Upstream.RawQuery)
	for a, rest, ok := pdk.NextArg(string(form)); ok; a, rest, ok = pdk.NextArg(rest) {
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = pdk.AppendEscaped(b, pdk.Unescape(&x.Text, a.Name))
		if a.HasValue {
			b = pdk.AppendEscaped(append(b, '='), pdk.Unescape(&x.Text, a.Value))
		}
	}
	x.Upstream.RawQuery, x.Upstream.HasQuery = string(b), len(b) > 0
}

// escapePath escapes what must not be in a path, and nothing that is escaped.
func escapePath(path string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '?' || c == '#' || c == '"' || c == '<' || c == '>' {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func (p *plugin) editHeaders(x *pdk.Exchange, original *pdk.Header) {
	h := &x.Request.Header
	for _, name := range p.headers.remove {
		h.Del(name)
	}
	for _, r := range p.headers.rename {
		values := h.Values(nil, r.name)
		if len(values) == 0 {
			continue
		}
		to := strings.TrimSpace(r.value.value(x, original))
		h.Del(r.name)
		h.Del(to)
		for _, v := range values {
			h.Add(to, v)
		}
	}
	for _, r := range p.headers.replace {
		switch {
		case pdk.EqualFold(r.name, "host"):
			x.Upstream.HostHeader = r.value.value(x, original)
		case h.Has(r.name):
			h.Set(r.name, r.value.value(x, original))
		}
	}
	for _, a := range p.headers.add {
		if !h.Has(a.name) && !pdk.EqualFold(a.name, "host") {
			h.Set(a.name, a.value.value(x, original))
		}
	}
	for _, a := range p.headers.append {
		if !pdk.EqualFold(a.name, "host") {
			h.Add(a.name, a.value.value(x, original))
		}
	}
}

// argument of a query, decoded.
type argument struct {
	name, value string
	hasValue    bool
}

func (p *plugin) editQuery(x *pdk.Exchange, original *pdk.Header) {
	var args []argument
	for raw := x.Upstream.RawQuery; ; {
		a, rest, ok := pdk.NextArg(raw)
		if !ok {
			break
		}
		raw = rest
		args = append(args, argument{pdk.Unescape(&x.Text, a.Name), pdk.Unescape(&x.Text, a.Value), a.HasValue})
	}
	has := func(name string) bool {
		for i := range args {
			if args[i].name == name {
				return true
			}
		}
		return false
	}
	del := func(name string) {
		kept := args[:0]
		for _, a := range args {
			if a.name != name {
				kept = append(kept, a)
			}
		}
		args = kept
	}
	for _, name := range p.query.remove {
		del(name)
	}
	for _, r := range p.query.rename {
		to := r.value.value(x, original)
		for i := range args {
			if args[i].name == r.name {
				args[i].name = to
			}
		}
	}
	for _, r := range p.query.replace {
		if !has(r.name) {
			continue
		}
		first := true
		kept := args[:0]
		for _, a := range args {
			if a.name == r.name {
				if !first {
					continue
				}
				first = false
				a.value, a.hasValue = r.value.value(x, original), true
			}
			kept = append(kept, a)
		}
		args = kept
	}
	for _, a := range p.query.add {
		if !has(a.name) {
			args = append(args, argument{a.name, a.value.value(x, original), true})
		}
	}
	for _, a := range p.query.append {
		args = append(args, argument{a.name, a.value.value(x, original), true})
	}
	var b []byte
	for i, a := range args {
		if i > 0 {
			b = append(b, '&')
		}
		b = pdk.AppendEscaped(b, a.name)
		if a.hasValue {
			b = append(b, '=')
			b = pdk.AppendEscaped(b, a.value)
		}
	}
	x.Upstream.RawQuery, x.Upstream.HasQuery = string(b), len(b) > 0
}

func (p *plugin) editBody(x *pdk.Exchange, original *pdk.Header) {
	contentType := x.Request.Header.Get("Content-Type")
	if payload.KindOf(contentType) == payload.None {
		return
	}
	raw, err := x.BufferBody(MaxBody)
	if err != nil {
		return
	}
	if len(raw) == 0 && payload.KindOf(contentType) == payload.JSON {
		if len(p.body.add)+len(p.body.append) == 0 {
			return
		}
		raw = []byte("{}")
	}
	body, err := payload.Parse(contentType, raw)
	if err != nil {
		return
	}
	for _, name := range p.body.remove {
		body.Del(name)
	}
	for _, r := range p.body.rename {
		body.Rename(r.name, r.value.value(x, original))
	}
	for _, r := range p.body.replace {
		if body.Has(r.name) {
			body.Set(r.name, r.value.value(x, original))
		}
	}
	for _, a := range p.body.add {
		if !body.Has(a.name) {
			body.Set(a.name, a.value.value(x, original))
		}
	}
	for _, a := range p.body.append {
		body.Add(a.name, a.value.value(x, original))
	}
	x.SetBody(body.Encode())
}
