package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// addCluster adds the paths that are about data planes.
func (a *API) addCluster() {
	a.table.get("/clustering/data-planes", a.dataPlanes)
	a.table.get("/clustering/status", a.clusterStatus)
	a.table.get("/upstreams/{upstreams}/health", a.upstreamHealth)
	for _, state := range []string{"healthy", "unhealthy"} {
		mark := map[string]handler{http.MethodPut: a.mark(state == "healthy")}
		a.table.add("/upstreams/{upstreams}/targets/{targets}/"+state, mark)
		a.table.add("/upstreams/{upstreams}/targets/{targets}/{address}/"+state, mark)
	}
	a.addConfig()
}

func (a *API) dataPlanes(c *call) (answer, error) {
	query := c.r.URL.Query()
	size, offset, err := paging(query)
	if err != nil {
		return answer{}, err
	}
	rows := a.o.Fleet.Nodes()
	start := 0
	if offset != "" {
		if start, err = strconv.Atoi(offset); err != nil || start < 0 {
			return answer{}, invalidOffset(offset)
		}
	}
	rows = rows[min(start, len(rows)):]
	p := catalog.Page{}
	if len(rows) > size {
		rows, p.Next = rows[:size], strconv.Itoa(start+size)
	}
	p.Entities = rows
	return ok(pageBody(c, p, query, true))
}

// clusterStatus is the older form of the list of data planes: by id.
func (a *API) clusterStatus(*call) (answer, error) {
	out := schema.Object{}
	for _, row := range a.o.Fleet.Nodes() {
		id, _ := row["id"].(string)
		short := schema.Object{}
		for _, name := range []string{"config_hash", "hostname", "ip", "last_seen"} {
			short[name] = row[name]
		}
		out[id] = short
	}
	return answer{status: http.StatusOK, body: out, header: [][2]string{{"Deprecation", "true"}}}, nil
}

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
}

// AddressHealth is how one node sees an address of a target.
type AddressHealth struct {
	IP     string `json:"ip"`
	Port   int    `json:"port"`
	Health string `json:"health"`
	Weight int    `json:"weight"`
}

// CommandMark sets the health of a target by hand.
const CommandMark = "mark"

// MarkArguments are those of CommandMark.
type MarkArguments struct {
	Upstream string `json:"upstream"`
	Target   string `json:"target"`
	Healthy  bool   `json:"healthy"`
}

// mark sets the health of a target on all data planes that are connected.
func (a *API) mark(healthy bool) handler {
	return func(c *call) (answer, error) {
		upstreams, targets := a.o.Kinds.ByKind(kindUpstreams), a.o.Kinds.ByKind(kindTargets)
		if upstreams == nil || targets == nil {
			return answer{}, errNotFound
		}
		upstream, err := c.find(upstreams, c.values[0])
		if err != nil {
			return answer{}, err
		}
		id, _ := upstream["id"].(string)
		target, err := a.o.Catalog.Get(c.ctx, targets, keyOf(c.values[1]), catalog.Scope{Field: "upstream", ParentID: id})
		if err != nil {
			return answer{}, missing(err, targets, c.values[1])
		}
		targetID, _ := target["id"].(string)
		ctx, cancel := context.WithTimeout(c.ctx, commandTime)
		defer cancel()
		for _, reply := range a.o.Fleet.Broadcast(ctx, TargetBalancer, CommandMark, MarkArguments{id, targetID, healthy}) {
			if reply.Err != nil {
				a.log.Warn("data plane did not mark a target", "node_id", reply.NodeID, "target_id", targetID, "error", reply.Err)
			}
		}
		return answer{status: http.StatusNoContent}, nil
	}
}

// worse orders health: what one node finds wrong is shown, although others do not.
var worse = map[string]int{"HEALTHCHECKS_OFF": 0, "HEALTHY": 1, "DNS_ERROR": 2, "UNHEALTHY": 3}

// upstreamHealth shows the targets of an upstream as the nodes see them. A target that no
// node says anything about has its health checks off.
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
	o := catalog.ListOptions{Scope: catalog.Scope{Field: "upstream", ParentID: id}}
	if o.Size, o.Offset, err = paging(query); err != nil {
		return answer{}, err
	}
	page, err := a.o.Catalog.List(c.ctx, targets, o)
	if err != nil {
		return answer{}, err
	}
	seen := a.healthOf(c.ctx, id)
	if query.Get("balancer_health") == "1" {
		return ok(schema.Object{"data": balancerHealth(id, upstream, seen), "next": nil, "node_id": a.o.NodeID})
	}
	for _, target := range page.Entities {
		targetID, _ := target["id"].(string)
		h, known := seen[targetID]
		if !known {
			h = TargetHealth{Health: "HEALTHCHECKS_OFF"}
		}
		target["health"] = h.Health
		target["data"] = targetData(target, h)
	}
	body := pageBody(c, page, query, false)
	body["node_id"] = a.o.NodeID
	return ok(body)
}

// targetData is what the balancer knows of a target: where it is, and how much of its
// weight can be used.
func targetData(target schema.Object, h TargetHealth) schema.Object {
	text, _ := target["target"].(string)
	host, portText, err := net.SplitHostPort(text)
	if err != nil {
		host = text
	}
	port, _ := strconv.Atoi(portText)
	host = strings.Trim(host, "[]")
	weight, _ := target["weight"].(int64)
	if len(h.Addresses) == 0 && net.ParseIP(host) != nil {
		h.Addresses = []AddressHealth{{IP: host, Port: port, Health: h.Health, Weight: int(weight)}}
	}
	available := weight
	if h.Health == "UNHEALTHY" || h.Health == "DNS_ERROR" {
		available = 0
	}
	return schema.Object{
		"addresses": addresses(h.Addresses), "host": host, "port": int64(port), "dns": "A", "nodeWeight": weight,
		"weight": schema.Object{"total": weight, "available": available, "unavailable": weight - available},
	}
}

// healthOf asks all nodes and keeps the worst answer of each target.
func (a *API) healthOf(ctx context.Context, upstream string) map[string]TargetHealth {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	out := map[string]TargetHealth{}
	for _, reply := range a.o.Fleet.Broadcast(ctx, TargetBalancer, CommandHealth, HealthArguments{upstream}) {
		var result map[string]TargetHealth
		if reply.Err != nil || json.Unmarshal(reply.Result, &result) != nil {
			a.log.Debug("data plane told nothing about targets", "node_id", reply.NodeID, "error", reply.Err)
			continue
		}
		for id, h := range result {
			if known, ok := out[id]; !ok || worse[h.Health] > worse[known.Health] {
				out[id] = h
			}
		}
	}
	return out
}

// balancerHealth tells whether an upstream as a whole can be used.
func balancerHealth(id string, upstream schema.Object, seen map[string]TargetHealth) schema.Object {
	health := "HEALTHCHECKS_OFF"
	if len(seen) > 0 {
		health = "UNHEALTHY"
	}
	list := []any{}
	for target, h := range seen {
		if h.Health == "HEALTHY" || h.Health == "HEALTHCHECKS_OFF" {
			health = "HEALTHY"
		}
		list = append(list, schema.Object{"id": target, "health": h.Health, "addresses": addresses(h.Addresses)})
	}
	return schema.Object{"id": id, "name": upstream["name"], "health": health, "details": list}
}

func addresses(in []AddressHealth) []any {
	out := make([]any, len(in))
	for i, a := range in {
		out[i] = schema.Object{"ip": a.IP, "port": a.Port, "health": a.Health, "weight": a.Weight}
	}
	return out
}

// addPlugins adds the endpoints that plugins bring along.
func (a *API) addPlugins() {
	for _, p := range a.o.Plugins.Ordered() {
		for _, e := range p.Endpoints {
			params := names(e.Path)
			a.table.add(e.Path, map[string]handler{e.Method: func(c *call) (answer, error) {
				ctx, cancel := context.WithTimeout(c.ctx, commandTime)
				defer cancel()
				values := make(map[string]string, len(params))
				for i, name := range params {
					values[name] = c.values[i]
				}
				c.r.Body = http.MaxBytesReader(c.w, c.r.Body, a.o.MaxBody)
				status, body, err := e.Handle(ctx, pluginFleet{a.o.Fleet, c, a.o.Kinds.ByKind("plugins")}, values, c.r.WithContext(ctx))
				if err != nil {
					return answer{}, fmt.Errorf("endpoint %s %s of plugin %s: %w", e.Method, e.Path, p.Name, err)
				}
				if body == nil && status >= http.StatusBadRequest {
					return page(status, http.StatusText(status)), nil
				}
				return answer{status: status, body: body}, nil
			}})
		}
	}
}

// pluginFleet is what an endpoint of a plugin gets.
type pluginFleet struct {
	fleet Fleet
	c     *call
	def   *entity.Def
}

var _ pdk.Fleet = pluginFleet{}

func (f pluginFleet) Broadcast(ctx context.Context, target, name string, arguments any) []pdk.NodeReply {
	return f.fleet.Broadcast(ctx, target, name, arguments)
}

func (f pluginFleet) Plugin(id, name string) (json.RawMessage, bool) {
	if f.def == nil || !isUUID(id) {
		return nil, false
	}
	o, err := f.c.find(f.def, id)
	if err != nil || o["name"] != name {
		return nil, false
	}
	config, err := schema.EncodeJSON(o["config"])
	return config, err == nil
}
