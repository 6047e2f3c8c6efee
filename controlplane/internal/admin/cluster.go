package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const pathTraffic = "/clustering/traffic"

// addCluster adds the paths that are about data planes.
func (a *API) addCluster() {
	a.table.get("/clustering/data-planes", a.dataPlanes)
	a.table.get("/clustering/status", a.clusterStatus)
	if a.o.History != nil {
		a.table.get("/clustering/revisions", a.revisions)
		a.table.get("/clustering/revisions/{revision}", a.revision)
		a.addHistory()
	}
	if a.o.Traffic != nil {
		a.table.get(pathTraffic, a.traffic)
	}
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
	rows := a.members(a.o.Fleet.Nodes())
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
