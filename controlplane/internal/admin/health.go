package admin

import (
	"context"
	"encoding/json"
	"net"
	"sort"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// TargetBalancer is the target of commands about the targets of upstreams, and
// CommandHealth asks for the health of an upstream's targets. Its arguments are
// HealthArguments, its result is a map from the id of a target to a TargetHealth.
const (
	TargetBalancer = "balancer"
	CommandHealth  = "health"
)

// HealthArguments are those of CommandHealth.
type HealthArguments struct {
	Upstream string `json:"upstream"`
}

// TargetHealth is how one node sees a target.
type TargetHealth struct {
	// Health is HEALTHY, UNHEALTHY, DNS_ERROR or HEALTHCHECKS_OFF.
	Health    string          `json:"health"`
	Addresses []AddressHealth `json:"addresses"`
	// DNS is the type of the records that the addresses are of.
	DNS string `json:"dns"`
	Changed
}

// Changed says when a health has changed last, in seconds since 1970, 0 for never, and
// what has changed it: traffic, checks, outlier detection, names or by hand.
type Changed struct {
	Since  int64  `json:"since"`
	Why    string `json:"why"`
	Detail string `json:"detail"`
}

// show adds what is known to an object.
func (c Changed) show(o schema.Object) schema.Object {
	if c.Why != "" {
		o["since"], o["why"] = c.Since, c.Why
		if c.Detail != "" {
			o["detail"] = c.Detail
		}
	}
	return o
}

// AddressHealth is how one node sees an address of a target.
type AddressHealth struct {
	IP     string `json:"ip"`
	Port   int    `json:"port"`
	Health string `json:"health"`
	Weight int    `json:"weight"`
	Changed
}

// Health of targets and addresses.
const (
	healthy     = "HEALTHY"
	unhealthy   = "UNHEALTHY"
	notResolved = "DNS_ERROR"
	notChecked  = "HEALTHCHECKS_OFF"
)

// worse orders health: what one node finds wrong is shown, although others do not.
var worse = map[string]int{notChecked: 0, healthy: 1, notResolved: 2, unhealthy: 3}

// seenHealth is what the nodes say about the targets of an upstream.
type seenHealth struct {
	// merged holds by id of a target the worst that a node says of it.
	merged map[string]TargetHealth
	// nodes hold the same by id of a node, and names their hostnames.
	nodes map[string]map[string]TargetHealth
	names map[string]string
	// reported are nodes that did not answer now: what they have told before counts.
	reported map[string]bool
}

// upstreamHealth shows the targets of an upstream as the nodes see them: merged, and node
// by node as far as nodes answer.
func (a *API) upstreamHealth(c *call) (answer, error) {
	def, targets := a.o.Kinds.ByKind(kindUpstreams), a.o.Kinds.ByKind(kindTargets)
	if def == nil || targets == nil {
		return answer{}, errNotFound
	}
	upstream, err := c.find(def, c.values[0])
	if err != nil {
		return answer{}, err
	}
	id, _ := upstream["id"].(string)
	query := c.r.URL.Query()
	o := catalog.ListOptions{Scope: catalog.Scope{Field: "upstream", ParentID: id}, Newest: true}
	if o.Size, o.Offset, err = paging(query); err != nil {
		return answer{}, err
	}
	if query.Get("balancer_health") == "1" {
		return a.balancerHealth(c, upstream, o.Scope)
	}
	page, err := c.catalog().List(c.ctx, targets, o)
	if err != nil {
		return answer{}, err
	}
	seen := a.healthOf(c.ctx, id)
	for _, target := range page.Entities {
		h := seen.of(upstream, target)
		target["health"], target["data"] = h.Health, targetData(target, h)
		targetID, _ := target["id"].(string)
		if nodes := seen.byNode(targetID); len(nodes) > 0 {
			target["nodes"] = nodes
		}
	}
	body := pageBody(c, page, query, false)
	body["node_id"] = a.o.NodeID
	return ok(body)
}

// healthOf asks all nodes.
func (a *API) healthOf(ctx context.Context, upstream string) seenHealth {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	out := seenHealth{merged: map[string]TargetHealth{}, nodes: map[string]map[string]TargetHealth{}, names: map[string]string{}, reported: map[string]bool{}}
	for _, reply := range a.o.Fleet.Broadcast(ctx, TargetBalancer, CommandHealth, HealthArguments{upstream}) {
		var result map[string]TargetHealth
		if reply.Err != nil || json.Unmarshal(reply.Result, &result) != nil {
			a.log.Debug("data plane told nothing about targets", "node_id", reply.NodeID, "error", reply.Err)
			continue
		}
		out.nodes[reply.NodeID], out.names[reply.NodeID] = result, reply.Hostname
		for id, h := range result {
			if known, ok := out.merged[id]; !ok || worse[h.Health] > worse[known.Health] {
				out.merged[id] = h
			}
		}
	}
	a.reported(upstream, &out)
	return out
}

// reported adds what nodes that have not answered said in their last reports. Nodes that
// are away count for themselves, but not for the merged health.
func (a *API) reported(upstream string, out *seenHealth) {
	for _, row := range a.o.Fleet.Nodes() {
		id, _ := row["id"].(string)
		report, ok := row["balancer"].(hub.BalancerReport)
		if _, answered := out.nodes[id]; answered && !out.reported[id] || !ok {
			continue
		}
		for _, t := range report.Troubles {
			if t.Upstream != upstream {
				continue
			}
			h := TargetHealth{Health: t.Health, Addresses: []AddressHealth{}, Changed: Changed{t.Since, t.Why, t.Detail}}
			if out.nodes[id] == nil {
				out.nodes[id] = map[string]TargetHealth{}
				out.names[id], _ = row["hostname"].(string)
				out.reported[id] = true
			}
			out.nodes[id][t.Target] = h
			if row["connected"] == true && worse[h.Health] > worse[out.merged[t.Target].Health] {
				h.Addresses = out.merged[t.Target].Addresses
				out.merged[t.Target] = h
			}
		}
	}
}

// of returns the merged health of a target. Of one that no node says anything about it is
// what a node that starts would say: nothing failed yet.
func (s seenHealth) of(upstream, target schema.Object) TargetHealth {
	id, _ := target["id"].(string)
	weight, _ := target["weight"].(int64)
	h, known := s.merged[id]
	if !known {
		h.Health = notChecked
		if checks(upstream) && weight > 0 {
			h.Health = healthy
		}
	}
	host, port := targetAddress(target)
	if len(h.Addresses) == 0 && h.Health != notResolved && net.ParseIP(strings.Trim(host, "[]")) != nil {
		h.Addresses = []AddressHealth{{IP: host, Port: port, Health: h.Health, Weight: int(weight)}}
	}
	return h
}

// addresses are those of one node, with since when and why they are as they are.
func (s seenHealth) addresses(in []AddressHealth) []any {
	out := addresses(in)
	for i := range in {
		if o, ok := out[i].(schema.Object); ok {
			in[i].show(o)
		}
	}
	return out
}

// byNode lists what each node says of a target, in the order of their ids.
func (s seenHealth) byNode(target string) []any {
	var out []any
	for node, seen := range s.nodes {
		if h, ok := seen[target]; ok {
			row := h.show(schema.Object{"node_id": node, "health": h.Health, "addresses": s.addresses(h.Addresses)})
			if s.names[node] != "" {
				row["hostname"] = s.names[node]
			}
			if s.reported[node] {
				row["reported"] = true
			}
			out = append(out, row)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, _ := out[i].(schema.Object)["node_id"].(string)
		b, _ := out[j].(schema.Object)["node_id"].(string)
		return a < b
	})
	return out
}

// checks tells whether an upstream has any health check that is on.
func checks(upstream schema.Object) bool {
	for _, path := range []string{
		"active.healthy.interval", "active.unhealthy.interval", "passive.healthy.successes",
		"passive.unhealthy.tcp_failures", "passive.unhealthy.http_failures", "passive.unhealthy.timeouts",
	} {
		switch n := schema.Get(upstream, "healthchecks."+path).(type) {
		case int64:
			if n > 0 {
				return true
			}
		case float64:
			if n > 0 {
				return true
			}
		}
	}
	return false
}

// targetAddress takes a stored target apart. IPv6 addresses keep their brackets, as in Kong.
func targetAddress(target schema.Object) (host string, port int) {
	text, _ := target["target"].(string)
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return text, 0
	}
	port, _ = strconv.Atoi(text[i+1:])
	return text[:i], port
}

// targetData is what the balancer knows of a target: where it is, and how much of its
// weight can be used.
func targetData(target schema.Object, h TargetHealth) schema.Object {
	host, port := targetAddress(target)
	weight, _ := target["weight"].(int64)
	total, unavailable := 0, 0
	for _, a := range h.Addresses {
		total += a.Weight
		if a.Health == unhealthy || a.Health == notResolved {
			unavailable += a.Weight
		}
	}
	dns := h.DNS
	switch {
	case strings.HasPrefix(host, "["):
		dns = "AAAA"
	case dns == "":
		dns = "A"
	}
	return schema.Object{
		"addresses": addresses(h.Addresses), "host": host, "port": port, "dns": dns, "nodeWeight": weight,
		"weight": schema.Object{"total": total, "available": total - unavailable, "unavailable": unavailable},
	}
}

// balancerHealth tells whether an upstream as a whole can be used, as Kong's balancer does:
// when enough of its weight is healthy.
func (a *API) balancerHealth(c *call, upstream schema.Object, scope catalog.Scope) (answer, error) {
	seen := a.healthOf(c.ctx, scope.ParentID)
	hosts := []any{}
	total, unavailable := 0, 0
	for o := (catalog.ListOptions{Scope: scope, Newest: true, Size: maxPageSize}); ; {
		page, err := c.catalog().List(c.ctx, a.o.Kinds.ByKind(kindTargets), o)
		if err != nil {
			return answer{}, err
		}
		for _, target := range page.Entities {
			h := seen.of(upstream, target)
			data := targetData(target, h)
			list := make([]any, len(h.Addresses))
			for i, at := range h.Addresses {
				list[i] = schema.Object{"ip": at.IP, "port": at.Port, "weight": at.Weight, "healthy": at.Health == healthy || at.Health == notChecked}
			}
			data["addresses"] = list
			weight, _ := data["weight"].(schema.Object)
			n, _ := weight["total"].(int)
			bad, _ := weight["unavailable"].(int)
			total, unavailable = total+n, unavailable+bad
			hosts = append(hosts, data)
		}
		if o.Offset = page.Next; page.Next == "" {
			break
		}
	}
	threshold := 0.0
	switch n := schema.Get(upstream, "healthchecks.threshold").(type) {
	case int64:
		threshold = float64(n)
	case float64:
		threshold = n
	}
	usable := total > 0 && float64(total-unavailable)/float64(total)*100 > threshold
	whole, state := unhealthy, notChecked
	if usable {
		whole = healthy
	}
	if checks(upstream) {
		state = whole
	}
	return ok(schema.Object{
		"data": schema.Object{
			"id": scope.ParentID, "health": state, "balancer_health": whole,
			"details": schema.Object{
				"healthy": usable, "hosts": hosts,
				"weight": schema.Object{"total": total, "available": total - unavailable, "unavailable": unavailable},
			},
		},
		"next": nil, "node_id": a.o.NodeID,
	})
}

func addresses(in []AddressHealth) []any {
	out := make([]any, len(in))
	for i, a := range in {
		out[i] = schema.Object{"ip": a.IP, "port": a.Port, "health": a.Health, "weight": a.Weight}
	}
	return out
}
