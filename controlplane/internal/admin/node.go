package admin

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/version"
)

// addNode adds the paths that are about this control plane itself.
func (a *API) addNode() {
	inCluster := &clusterPlugins{api: a}
	a.table.get("/", func(c *call) (answer, error) { return a.root(c, inCluster) })
	a.table.get("/endpoints", func(*call) (answer, error) { return ok(schema.Object{"data": a.table.paths}) })
	a.table.get("/status", a.status)
	a.table.get("/status/dns", func(*call) (answer, error) {
		return message(http.StatusNotImplemented, "not implemented with the legacy DNS client"), nil
	})
	a.table.get("/timers", timers)
	a.table.get("/metrics", a.metrics)
	a.table.get(pathWhoami, a.whoami)
	a.table.get("/plugins/enabled", func(*call) (answer, error) {
		return ok(schema.Object{"enabled_plugins": a.o.Plugins.Names()})
	})
	// Nothing here is cached: the store answers. Dropping it succeeds, keys are not there.
	nothing := func(*call) (answer, error) { return answer{status: http.StatusNoContent}, nil }
	a.table.add("/cache", map[string]handler{http.MethodDelete: nothing})
	a.table.add("/cache/{key}", map[string]handler{
		http.MethodDelete: nothing,
		http.MethodGet:    func(*call) (answer, error) { return answer{}, errNotFound },
	})
	a.addLogLevel()
	a.addWasm()
}

// addWasm refuses what belongs to WebAssembly filters, in the way by which clients know
// that there are none.
func (a *API) addWasm() {
	none := func(*call) (answer, error) {
		return message(http.StatusBadRequest, "this endpoint is only available when wasm is enabled"), nil
	}
	collection := map[string]handler{http.MethodGet: none, http.MethodPost: none}
	one := map[string]handler{http.MethodGet: none, http.MethodPatch: none, http.MethodPut: none, http.MethodDelete: none}
	for _, above := range []string{"", "/routes/{routes}", "/services/{services}"} {
		a.table.add(above+"/filter-chains", collection)
		a.table.add(above+"/filter-chains/{filter_chains}", one)
	}
	for _, which := range []string{"all", "enabled", "disabled"} {
		a.table.get("/routes/{routes}/filters/"+which, none)
	}
}

// root is the document by which clients find out what they talk to.
func (a *API) root(c *call, inCluster *clusterPlugins) (answer, error) {
	enabled, err := inCluster.names(c)
	if err != nil {
		return answer{}, err
	}
	available := schema.Object{}
	for _, p := range a.o.Plugins.Ordered() {
		v := p.Version
		if v == "" {
			v = version.Kong
		}
		available[p.Name] = schema.Object{"version": v, "priority": p.Priority}
	}
	configuration := map[string]any{}
	if a.o.Configuration != nil {
		configuration = a.o.Configuration()
	}
	return ok(schema.Object{
		"version":        version.Kong,
		"sluice_version": version.Sluice(),
		"edition":        "community",
		"tagline":        "Welcome to kong",
		"hostname":       a.o.Hostname,
		"node_id":        a.o.NodeID,
		"lua_version":    runtime.Version(),
		"pids":           schema.Object{"master": os.Getpid(), "workers": []any{os.Getpid()}},
		"timers":         schema.Object{"running": runtime.NumGoroutine(), "pending": 0},
		"plugins": schema.Object{
			"available_on_server": available, "enabled_in_cluster": enabled, "disabled_on_server": schema.Object{},
		},
		"configuration": configuration,
	})
}

// clusterPlugins knows the names of the plugins that are configured. It reads the
// configuration again when its revision is another one.
type clusterPlugins struct {
	api *API
	// mu guards the names and the revision that they are of, "" for none.
	mu    sync.Mutex
	known string
	list  []string
}

func (p *clusterPlugins) names(c *call) ([]string, error) {
	at := ""
	if p.api.o.Position != nil {
		position, err := p.api.o.Position()
		if err != nil {
			return nil, fmt.Errorf("read position: %w", err)
		}
		at = fmt.Sprint(position)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if at != "" && at == p.known {
		return p.list, nil
	}
	def := p.api.o.Kinds.ByKind("plugins")
	seen := map[string]bool{}
	spaces, err := p.api.spaces(c)
	if err != nil {
		return nil, err
	}
	for _, space := range spaces {
		if err := each(c, p.api.o.Catalog.In(space), def, catalog.ListOptions{}, func(e schema.Object) error {
			name, _ := e["name"].(string)
			seen[name] = true
			return nil
		}); err != nil {
			return nil, fmt.Errorf("list plugins: %w", err)
		}
	}
	p.list, p.known = []string{}, at
	for _, name := range p.api.o.Plugins.Names() {
		if seen[name] {
			p.list = append(p.list, name)
		}
	}
	return p.list, nil
}

// status tells how this control plane is.
func (a *API) status(c *call) (answer, error) {
	size, err := sizeFormat(c)
	if err != nil {
		return answer{}, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	waiting := max(0, a.idle.Load())
	active := a.active.Load()
	body := schema.Object{
		"memory": schema.Object{
			"lua_shared_dicts": schema.Object{},
			"workers_lua_vms":  []any{schema.Object{"pid": os.Getpid(), "http_allocated_gc": size(m.HeapAlloc)}},
		},
		"server": schema.Object{
			"connections_accepted": a.accepted.Load(), "connections_handled": a.handled.Load(),
			"connections_active": active, "connections_waiting": waiting,
			"connections_reading": 0, "connections_writing": max(0, active-waiting),
			"total_requests": a.requests.Load(),
		},
		"database": schema.Object{"reachable": a.healthy() == nil},
	}
	if a.o.Position != nil {
		if p, err := a.o.Position(); err == nil {
			body["sluice"] = schema.Object{
				"lineage": p.Lineage, "generation": p.Generation, "revision": p.Revision, "root": fmt.Sprint(p.Root),
				"data_planes": len(a.o.Fleet.Nodes()),
			}
		}
	}
	return ok(body)
}

func (a *API) healthy() error {
	if a.o.Health == nil {
		return nil
	}
	return a.o.Health()
}

// sizeFormat reads unit (b, k, m or g) and scale (digits) of /status.
func sizeFormat(c *call) (func(bytes uint64) any, error) {
	query := c.r.URL.Query()
	unit, scale := "m", 2
	if query.Has("unit") {
		unit = strings.ToLower(query.Get("unit"))
	}
	power := strings.Index("bkmg", unit)
	if len(unit) != 1 || power < 0 {
		return nil, refuse(http.StatusBadRequest, "invalid unit '"+query.Get("unit")+"' (expected 'k/K', 'm/M', 'g/G' or 'b/B')")
	}
	if query.Has("scale") {
		n, err := strconv.Atoi(query.Get("scale"))
		if err != nil || n < 0 || n > 9 {
			return nil, refuse(http.StatusBadRequest, "invalid scale '"+query.Get("scale")+"' (expected an integer from 0 to 9)")
		}
		scale = n
	}
	return func(bytes uint64) any {
		if power == 0 {
			return bytes
		}
		return fmt.Sprintf("%.*f %ciB", scale, float64(bytes)/math.Pow(1024, float64(power)), "bKMG"[power])
	}, nil
}

// timers has the form in which Kong shows its timers. Goroutines are what we have.
func timers(*call) (answer, error) {
	running := runtime.NumGoroutine()
	return ok(schema.Object{
		"worker": schema.Object{"id": 0, "count": 1},
		"stats": schema.Object{
			"flamegraph": schema.Object{"running": "", "pending": "", "elapsed_time": ""},
			"sys":        schema.Object{"running": running, "pending": 0, "waiting": 0, "total": running, "runs": 0},
			"timers":     schema.Object{},
		},
	})
}
