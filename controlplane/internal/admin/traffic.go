package admin

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/traffic"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// trafficGroup is a service, route or node, or all of them, in an answer.
type trafficGroup struct {
	// ID and Name are nil for what has none, such as the rest that is not counted apart.
	ID        any  `json:"id"`
	Name      any  `json:"name"`
	Workspace any  `json:"workspace,omitempty"`
	Service   any  `json:"service,omitempty"`
	Rest      bool `json:"rest,omitempty"`
	traffic.Stats

	Points *traffic.Points `json:"points,omitempty"`
}

// trafficAnswer is the body of GET /clustering/traffic.
type trafficAnswer struct {
	Window       int64          `json:"window"`
	Step         int64          `json:"step"`
	From         int64          `json:"from"`
	To           int64          `json:"to"`
	Oldest       int64          `json:"oldest"`
	SecondsSince int64          `json:"seconds_since"`
	By           any            `json:"by"`
	Filter       schema.Object  `json:"filter"`
	Times        []int64        `json:"times"`
	Total        trafficTotal   `json:"total"`
	Groups       []trafficGroup `json:"groups"`
	Services     []trafficGroup `json:"services"`
	Routes       []trafficGroup `json:"routes"`
	Nodes        []trafficGroup `json:"nodes"`
	Unmatched    uint64         `json:"unmatched"`
	Lost         uint64         `json:"lost"`
}

type trafficTotal struct {
	traffic.Stats

	Points *traffic.Points `json:"points"`
}

// trafficParameters are those of the query, with what they are for.
var trafficParameters = [][2]string{
	{"window", "How many seconds back, up to 3600; 300 when there is none."},
	{"step", "How many seconds a point is; a sixtieth of the window when there is none. What is longer ago than some minutes has whole minutes."},
	{"service", "Only this service, by its id or name."},
	{"route", "Only this route, by its id or name."},
	{"node", "Only this data plane, by its id or hostname."},
	{"by", "What has points of its own beside the total: service, route or node."},
	{"top", "How many services, routes and data planes are listed, the busiest first; 10 when there is none."},
}

// traffic shows what the nodes have counted. In a workspace it is what is of that one.
func (a *API) traffic(c *call) (answer, error) {
	q, err := c.trafficQuery()
	if err != nil {
		return answer{}, err
	}
	rows := a.o.Fleet.Nodes()
	hostnames := make(map[string]any, len(rows))
	for _, row := range rows {
		id, _ := row["id"].(string)
		hostnames[id] = row["hostname"]
		if row["hostname"] == q.Node {
			q.Node = id
		}
	}
	q.Delay = traffic.Interval(len(rows)) + time.Second
	r, err := a.o.Traffic.Query(q)
	if wrong, ok := errors.AsType[*traffic.Error](err); ok {
		return answer{}, refuse(http.StatusBadRequest, wrong.Error())
	}
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail logs it with the path
	}
	n := &trafficNames{c: c, hostnames: hostnames, spaces: map[string]any{}, known: map[string]any{}}
	out := trafficAnswer{
		Window: r.To - r.From, Step: r.Step, From: r.From, To: r.To, Oldest: r.Oldest, SecondsSince: r.Fine,
		Filter: schema.Object{"service": orNull(q.Service), "route": orNull(q.Route), "node": orNull(q.Node), "workspace": nil},
		Times:  r.Times, Total: trafficTotal{r.Total.Stats, r.Total.Points}, Unmatched: r.Unmatched, Lost: r.Lost,
		By: orNull(string(q.By)), Services: n.groups(r.Services, traffic.ByService), Routes: n.groups(r.Routes, traffic.ByRoute),
		Nodes: n.groups(r.Nodes, traffic.ByNode), Groups: n.groups(r.Groups, q.By),
	}
	if q.Workspace != nil {
		out.Filter["workspace"] = c.space
	}
	return ok(out)
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func (c *call) trafficQuery() (q traffic.Query, err error) {
	if c.prefix != "" {
		q.Workspace = &c.workspace
	}
	seconds := func(name, text string) (time.Duration, error) {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 1 {
			return 0, refuse(http.StatusBadRequest, name+": expected a number of seconds")
		}
		return time.Duration(n) * time.Second, nil
	}
	for name, values := range c.r.URL.Query() {
		text := values[0]
		switch name {
		case "window":
			q.Window, err = seconds(name, text)
		case "step":
			q.Step, err = seconds(name, text)
		case "by":
			q.By = traffic.By(text)
		case "node":
			q.Node = text
		case "service":
			q.Service, err = c.idOf(kindServices, text)
		case "route":
			q.Route, err = c.idOf(kindRoutes, text)
		case "top":
			if q.Top, err = strconv.Atoi(text); err != nil || q.Top < 1 {
				err = refuse(http.StatusBadRequest, "top: expected a number from 1 to "+strconv.Itoa(traffic.MostTop))
			}
		default:
			err = refuse(http.StatusBadRequest, name+": unknown field")
		}
		if err != nil {
			return q, err
		}
	}
	return q, nil
}

// idOf returns the id of an entity that may be gone, as long as it is named by its id.
func (c *call) idOf(kind, name string) (string, error) {
	key := keyOf(name)
	if key.ID != "" {
		return key.ID, nil
	}
	def := c.api.o.Kinds.ByKind(kind)
	if def == nil {
		return "", errNotFound
	}
	o, err := c.find(def, name)
	if err != nil {
		return "", err
	}
	id, _ := o["id"].(string)
	return id, nil
}

// trafficNames finds the names of what is counted by id.
type trafficNames struct {
	c         *call
	hostnames map[string]any
	spaces    map[string]any
	known     map[string]any
}

func (n *trafficNames) groups(in []traffic.Group, by traffic.By) []trafficGroup {
	out := make([]trafficGroup, len(in))
	for i := range in {
		g := &in[i]
		to := &out[i]
		to.Stats, to.Points = g.Stats, g.Points
		switch by {
		case traffic.ByNode:
			to.ID, to.Name = g.Node, n.hostnames[g.Node]
		case traffic.ByService:
			to.ID, to.Name, to.Workspace = g.Service, n.name(kindServices, g.Workspace, g.Service), n.space(g.Workspace)
		case traffic.ByRoute, traffic.ByNothing:
			to.Workspace, to.Rest = n.space(g.Workspace), g.Route == traffic.Rest
			if !to.Rest {
				to.ID, to.Name = g.Route, n.name(kindRoutes, g.Workspace, g.Route)
			}
			if g.Service != "" {
				to.Service = schema.Object{"id": g.Service, "name": n.name(kindServices, g.Workspace, g.Service)}
			}
		}
	}
	return out
}

// name returns the name of an entity, nil for one that has none or is gone.
func (n *trafficNames) name(kind, workspace, id string) any {
	name, known := n.known[id]
	def := n.c.api.o.Kinds.ByKind(kind)
	if known || def == nil {
		return name
	}
	if o, err := n.c.api.o.Catalog.In(workspace).Get(n.c.ctx, def, catalog.Key{ID: id}, catalog.Scope{}); err == nil {
		name = o["name"]
	}
	n.known[id] = name
	return name
}

func (n *trafficNames) space(id string) any {
	if id == "" {
		return "default"
	}
	name, known := n.spaces[id]
	if !known {
		if _, text, err := n.c.api.o.Catalog.Workspace(n.c.ctx, id); err == nil {
			name = text
		}
		n.spaces[id] = name
	}
	return name
}
