package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Question is a request to explain instead of serving it.
type Question struct {
	Method string `json:"method"`
	// Scheme of the connection, http or https.
	Scheme string `json:"scheme"`
	// Host with port, as in the Host header.
	Host string `json:"host"`
	// Path may have a query behind a "?".
	Path string `json:"path"`
	// Headers are names and values.
	Headers [][2]string `json:"headers"`
	SNI     string      `json:"sni"`
	// Source is the address of the client, with port or without; "" is 127.0.0.1.
	Source string `json:"source"`
	// Port of the listener; 0 takes the Host header's, or else the scheme's own.
	Port int `json:"port"`
	// HTTP is the version: 1.0, 1.1 or 2; "" is 1.1.
	HTTP string `json:"http"`
	// Consumer is the id or username of the consumer that the request authenticates.
	Consumer string `json:"consumer"`
}

// Explanation says what would become of a request. Plugins are not run: what they would
// change or refuse does not show.
type Explanation struct {
	Revision uint64 `json:"revision"`
	Matched  bool   `json:"matched"`
	// Path is the request's as routes see it.
	Path    string  `json:"path"`
	Route   *Named  `json:"route"`
	Service *Named  `json:"service"`
	Prefix  string  `json:"matched_prefix"`
	Groups  []Group `json:"uri_captures"`
	// Candidates are all routes that match, the first one wins.
	Candidates []Candidate `json:"candidates"`
	// Answer is what the gateway itself answers, without plugins and upstream.
	Answer *Answer `json:"answer"`
	// Plugins in the order in which they run, each with its whole config.
	Plugins  []PluginStep `json:"plugins"`
	Upstream *Upstream    `json:"upstream"`
}

// Named is an entity.
type Named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Group is a group of a regular expression.
type Group struct {
	Name  string `json:"name,omitempty"`
	Value string `json:"value"`
}

// Candidate is a route that matches.
type Candidate struct {
	Route  Named  `json:"route"`
	Path   string `json:"path,omitempty"`
	Prefix string `json:"matched_prefix"`
	Wins   bool   `json:"wins"`
	// Lost says why it does not.
	Lost string `json:"lost,omitempty"`
}

// Answer is what the gateway itself answers.
type Answer struct {
	Status   int    `json:"status"`
	Message  string `json:"message"`
	Location string `json:"location,omitempty"`
}

// PluginStep is a plugin that would run.
type PluginStep struct {
	Name     string          `json:"name"`
	ID       string          `json:"id"`
	Priority int             `json:"priority"`
	Scope    []string        `json:"scope"`
	Config   json.RawMessage `json:"config"`
}

// Upstream is where the request would go.
type Upstream struct {
	Scheme     string   `json:"scheme"`
	Host       string   `json:"host"`
	Port       int      `json:"port"`
	Path       string   `json:"path"`
	HostHeader string   `json:"host_header"`
	Entity     *Named   `json:"upstream"`
	Targets    []Target `json:"targets"`
}

// Target is a candidate of the balancer.
type Target struct {
	Target string `json:"target"`
	Weight int    `json:"weight"`
	Health string `json:"health"`
}

// Explain answers a question with the plan that serves now, in the way in which Serve
// goes.
func (p *Proxy) Explain(q *Question) (*Explanation, error) {
	x, err := q.exchange()
	if err != nil {
		return nil, err
	}
	w := &walk{errand: errand{p: p, plan: p.o.Plan(), x: x}}
	x.View = w.plan
	p.client(x)
	if q.Consumer != "" {
		c := consumer(w.plan, q.Consumer)
		if c == nil {
			return nil, fmt.Errorf("consumer: there is no consumer %s", q.Consumer)
		}
		x.Authenticate(c, pdk.Credential{})
	}
	out := &Explanation{Revision: w.plan.Position.Revision, Path: x.Request.Path, Candidates: []Candidate{}, Plugins: []PluginStep{}, Groups: []Group{}}
	out.Matched = p.route(w, x)
	for i, c := range w.plan.Explain(&w.query) {
		shown := Candidate{Route: Named{c.Route.ID, c.Route.Name}, Path: c.Path, Prefix: c.Prefix, Wins: i == 0, Lost: c.Lost}
		out.Candidates = append(out.Candidates, shown)
	}
	if x.Exited() {
		out.Answer = &Answer{Status: x.Response.Status, Message: messageOf(x.Response.Buffered), Location: x.Response.Header.Get("Location")}
	}
	chain := &w.plan.Global
	if out.Matched {
		chain = w.route.Chain
		out.Route = &Named{w.route.Entity.ID, w.route.Entity.Name}
		out.Prefix = strings.Clone(w.match.Prefix)
		for i, v := range x.Captures.Values {
			out.Groups = append(out.Groups, Group{x.Captures.Names[i], strings.Clone(v)})
		}
		if s := w.route.Service; s != nil {
			out.Service = &Named{s.Entity.ID, s.Entity.Name}
		}
	}
	for i := range chain.Steps {
		if inst := chain.Steps[i].For(x.Consumer, x.ConsumerGroups); inst != nil {
			out.Plugins = append(out.Plugins, pluginStep(inst))
		}
	}
	switch {
	case !out.Matched || x.Exited():
	case w.route.Service == nil:
		out.Answer = &Answer{Status: 503, Message: "no Service found with those values"}
	default:
		out.Upstream = w.explainUpstream()
	}
	return out, nil
}

func (q *Question) exchange() (*pdk.Exchange, error) {
	x := &pdk.Exchange{}
	r := &x.Request
	if q.Path == "" || q.Path[0] != '/' && q.Path != "*" {
		return nil, errors.New("path: must begin with /")
	}
	if q.Scheme != "http" && q.Scheme != "https" {
		return nil, fmt.Errorf("scheme: %q is not http or https", q.Scheme)
	}
	r.Method, r.Scheme, r.Host, r.SNI = q.Method, q.Scheme, q.Host, q.SNI
	if r.Method == "" {
		r.Method = "GET"
	}
	r.RawPath, r.RawQuery, r.HasQuery = strings.Cut(q.Path, "?")
	for _, h := range q.Headers {
		if strings.EqualFold(h[0], "Host") {
			r.Host = h[1]
			continue
		}
		r.Header.Add(h[0], h[1])
	}
	switch q.HTTP {
	case "", "1.1":
		r.Proto = 11
	case "1.0":
		r.Proto = 10
	case "2", "2.0":
		r.Proto = 20
	default:
		return nil, fmt.Errorf("http: %q is not 1.0, 1.1 or 2", q.HTTP)
	}
	source := q.Source
	if source == "" {
		source = "127.0.0.1"
	}
	if a, err := netip.ParseAddr(source); err == nil {
		r.Peer = netip.AddrPortFrom(a, 0)
	} else if r.Peer, err = netip.ParseAddrPort(source); err != nil {
		return nil, fmt.Errorf("source: %q is not an address", q.Source)
	}
	port := q.Port
	if port == 0 {
		if _, port = expression.SplitHost(r.Host); port == 0 {
			port = map[string]int{"http": 80, "https": 443}[q.Scheme]
		}
	}
	if port < 0 || port > 65535 {
		return nil, fmt.Errorf("port: %d is not a port", port)
	}
	r.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
	return x, nil
}

func consumer(p *plan.Plan, name string) *entity.Consumer {
	if c, ok := p.ByID(entity.Consumers, name).(*entity.Consumer); ok && c != nil {
		return c
	}
	c, _ := p.ByKey(entity.Consumers, "username", name).(*entity.Consumer)
	return c
}

func messageOf(body []byte) string {
	var m struct{ Message string }
	if json.Unmarshal(body, &m) == nil && m.Message != "" {
		return m.Message
	}
	return string(body)
}

func pluginStep(i *plan.Instance) PluginStep {
	s := PluginStep{Name: i.Plugin.Name, ID: i.Entity.ID, Priority: i.Plugin.Priority, Config: i.Entity.Config, Scope: []string{}}
	for _, part := range []struct {
		name string
		ref  *entity.Ref
	}{{"consumer", i.Entity.Consumer}, {"consumer_group", i.Entity.ConsumerGroup}, {"route", i.Entity.Route}, {"service", i.Entity.Service}} {
		if part.ref != nil {
			s.Scope = append(s.Scope, part.name)
		}
	}
	if len(s.Scope) == 0 {
		s.Scope = append(s.Scope, "global")
	}
	return s
}

// explainUpstream says where the request goes, without asking the balancer to choose.
func (w *walk) explainUpstream() *Upstream {
	up := &w.x.Upstream
	out := &Upstream{Scheme: up.Scheme, Host: up.Host, Port: up.Port, Path: strings.Clone(up.Path), HostHeader: strings.Clone(up.HostHeader), Targets: []Target{}}
	if up.HasQuery {
		out.Path += "?" + up.RawQuery
	}
	u, ok := w.plan.Upstream(up.Host)
	if !ok {
		out.Targets = append(out.Targets, Target{Target: net.JoinHostPort(up.Host, strconv.Itoa(up.Port)), Weight: 100, Health: "HEALTHCHECKS_OFF"})
		if out.HostHeader == "" {
			out.HostHeader = hostHeader(&w.x.Text, up.Scheme, up.Host, up.Port)
		}
		return out
	}
	out.Entity = &Named{u.Entity.ID, u.Entity.Name}
	if out.HostHeader == "" && u.Entity.HostHeader != "" {
		out.HostHeader = u.Entity.HostHeader
	}
	health := u.Health()
	for _, t := range u.Targets {
		out.Targets = append(out.Targets, Target{Target: t.Entity.Target, Weight: t.Weight, Health: health.Targets[t.Entity.ID].Health})
	}
	return out
}
