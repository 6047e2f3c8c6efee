// Package admin is the Admin API: REST over the catalog, in the form that Kong's users
// and clients know. It owns paths, methods, bodies, paging, error bodies and headers.
// Everything about a kind of entities (its collection, its items, its place below
// parents, the views of what it refers to) follows from the kind's schema: there is no
// route here that a kind must add to. It refuses to judge entities, which is the
// catalog's work, and to know nodes beyond what Fleet says of them.
package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/history"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/traffic"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/version"
)

// Options say what the Admin API works on. Catalog, Kinds, Plugins and Fleet are required.
type Options struct {
	Catalog catalog.API
	Kinds   *entity.Kinds
	Plugins *plugins.Registry
	Fleet   Fleet
	// History is what was; nil answers 404 to who asks for it.
	History *history.History
	// Traffic is what data planes have counted; nil answers 404 to who asks for it.
	Traffic *traffic.Store
	// Declarative serves /config; nil answers 400 there.
	Declarative Declarative
	// Configuration is shown by GET /; nil shows none.
	Configuration func() map[string]any
	// Position is shown by GET /status; nil shows none.
	Position func() (store.Position, error)
	// Health says whether the store can be read; nil means that it can.
	Health func() error
	// Tokens serve /admin-tokens and say who somebody is; nil answers 404 there.
	Tokens *access.Tokens
	// EnforceTokens refuses requests without a token that allows them.
	EnforceTokens bool
	// TokenHeader is where a token is, beside Authorization; "" means Kong-Admin-Token.
	TokenHeader string
	// Members serve /clustering/tokens and say who nodes are; nil answers 404 there.
	Members Members
	// Audit is the log of what was done and refused; nil keeps none.
	Audit *audit.Log
	// LogLevel serves /debug; nil answers 404 there.
	LogLevel LogLevel
	// NodeID and Hostname are those of this control plane.
	NodeID, Hostname string
	// Server is the Server header; "" means kong/ and the version of Kong that is kept
	// to: clients parse it.
	Server string
	// HideServer and HideLatency leave out Server and X-Kong-Admin-Latency.
	HideServer, HideLatency bool
	// AllowedOrigins are those of browsers that may call; empty allows every one.
	AllowedOrigins []string
	// MaxBody bounds bodies in bytes, 0 means 10 MiB; MaxConfig those of POST /config,
	// 0 means 512 MiB.
	MaxBody, MaxConfig int64
	// Logger is for requests that fail in ways that nobody foresaw; nil logs nothing.
	Logger hclog.Logger
}

// LogLevel reads and changes what is logged. Names are Kong's, such as "notice".
type LogLevel interface {
	Get() string
	// Set returns an error for a level that is not known.
	Set(level string) error
}

const (
	defaultMaxBody   = 10 << 20
	defaultMaxConfig = 512 << 20
)

// API is the Admin API. It is safe for concurrent use.
type API struct {
	o       Options
	log     hclog.Logger
	table   table
	started time.Time
	// throttle slows those down who try tokens.
	throttle *access.Throttle
	nested   map[string]string // path of a collection below a parent -> the kind's name
	docs     map[string]doc    // what the paths of kinds are, for the description of the API
	// sides are the paths of memberships.
	sides map[string]side

	requests, accepted, handled, active, idle atomic.Int64

	// mu guards the level that a temporary change of it returns to.
	mu     sync.Mutex
	revert *time.Timer
	normal string
	closed bool
}

// New makes an Admin API. Close ends it.
func New(o Options) (*API, error) {
	switch {
	case o.Catalog == nil:
		return nil, errors.New("make Admin API: no catalog")
	case o.Kinds == nil:
		return nil, errors.New("make Admin API: no kinds")
	case o.Plugins == nil:
		return nil, errors.New("make Admin API: no plugins")
	case o.Fleet == nil:
		return nil, errors.New("make Admin API: no fleet")
	case o.Tokens == nil && o.EnforceTokens:
		return nil, errors.New("make Admin API: no tokens, which are enforced")
	}
	if o.Server == "" {
		o.Server = "kong/" + version.Kong
	}
	if o.TokenHeader == "" {
		o.TokenHeader = defaultTokenHeader
	}
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	if o.MaxConfig <= 0 {
		o.MaxConfig = defaultMaxConfig
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	a := &API{o: o, log: o.Logger, started: time.Now(), throttle: access.NewThrottle(nil)}
	a.addNode()
	a.addOpenAPI()
	a.addSchemas()
	a.addCluster()
	a.addKinds()
	a.addExplain()
	a.addWorkspaces()
	a.addGroups()
	a.addPlugins()
	if o.Tokens != nil {
		a.addTokens()
	}
	if o.Members != nil {
		a.addMembers()
	}
	if o.Audit != nil {
		a.addAudit()
	}
	return a, nil
}

// Close ends a temporary log level: the one before counts again.
func (a *API) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.restoreLevelLocked()
}

// ConnState counts connections for GET /status; see http.Server.
func (a *API) ConnState(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		a.accepted.Add(1)
		a.handled.Add(1)
		a.active.Add(1)
		a.idle.Add(1)
	case http.StateActive:
		a.idle.Add(-1)
	case http.StateIdle:
		a.idle.Add(1)
	case http.StateHijacked, http.StateClosed:
		a.active.Add(-1)
		a.idle.Store(min(a.idle.Load(), a.active.Load()))
	}
}

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, &a.table)
}

// Local returns the handler of the socket that only the control plane's own user reaches:
// the same API, where everybody may everything.
func (a *API) Local() http.Handler {
	t := a.table
	t.local = true
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, &t) })
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, t *table) {
	start := time.Now()
	a.requests.Add(1)
	v, r := a.arrive(w, r)
	if t.local {
		v.request.ClientIP, v.request.UserName = "", "command line"
	}
	answer := a.answer(w, r, t, v)
	if !t.open {
		a.record(v, answer.status)
	}
	h := w.Header()
	if !r.Close && r.ProtoMajor == 1 {
		h.Set("Connection", "keep-alive") // said although HTTP/1.1 implies it, as Kong does
	}
	if answer.bare {
		answer.write(w, r)
		return
	}
	h.Set("Access-Control-Allow-Origin", a.origin(r.Header.Get("Origin")))
	h.Set("Access-Control-Allow-Credentials", "true")
	if !a.o.HideLatency {
		h.Set("X-Kong-Admin-Latency", strconv.FormatInt(time.Since(start).Milliseconds(), 10))
	}
	if !a.o.HideServer {
		h.Set("Server", a.o.Server)
	}
	answer.write(w, r)
}

// origin returns the origin that may read the answer.
func (a *API) origin(asked string) string {
	if slices.Contains(a.o.AllowedOrigins, asked) {
		return asked
	}
	switch {
	case len(a.o.AllowedOrigins) > 0:
		return a.o.AllowedOrigins[0]
	case asked != "":
		return asked
	}
	return "*"
}

func (a *API) answer(w http.ResponseWriter, r *http.Request, t *table, v *visit) (out answer) {
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", p)
			out = message(http.StatusInternalServerError, unexpected)
		}
	}()
	if r.Method == http.MethodTrace {
		m := page(http.StatusMethodNotAllowed, "Not Allowed")
		m.bare, m.header = true, [][2]string{{"Connection", "close"}}
		return m
	}
	c := &call{api: a, w: w, r: r, ctx: r.Context(), visit: v}
	e, found := c.route(t)
	entered := c.enter()                                       // who is not let in is not told whether there is such a workspace
	if !t.open && !t.local && r.Method != http.MethodOptions { // browsers ask without a token whether they may bring one
		if out, in := a.admit(v, r, c.use(e)); !in {
			return out
		}
	}
	if !found {
		return message(http.StatusNotFound, "Not found")
	}
	handle := e.methods[r.Method]
	switch {
	case handle != nil:
	case r.Method == http.MethodOptions:
		return preflight(e, r)
	case r.Method == http.MethodHead && e.methods[http.MethodGet] != nil:
		handle = e.methods[http.MethodGet]
	default:
		m := message(http.StatusMethodNotAllowed, notAllowed)
		m.header = [][2]string{{"Allow", e.allow}}
		return m
	}
	if tooMany(r.URL.RawQuery) {
		return message(http.StatusBadRequest, tooManyArguments)
	}
	if entered != nil {
		return a.fail(r, entered)
	}
	if err := c.decompress(); err != nil {
		return a.fail(r, err)
	}
	if err := c.checkType(); err != nil {
		return a.fail(r, err)
	}
	if err := c.parseWait(); err != nil {
		return a.fail(r, err)
	}
	out, err := handle(c)
	if err != nil {
		return a.fail(r, err)
	}
	return out
}

func preflight(e *endpoint, r *http.Request) answer {
	headers := r.Header.Get("Access-Control-Request-Headers")
	if headers == "" {
		headers = "Content-Type"
	}
	return answer{status: http.StatusNoContent, header: [][2]string{
		{"Access-Control-Allow-Headers", headers}, {"Allow", e.allow}, {"Access-Control-Allow-Methods", e.allow},
	}}
}

// call is one request on its way.
type call struct {
	api    *API
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context //nolint:containedctx // it lives as long as the request
	values []string        // of the {name} parts of the path
	visit  *visit
	wait   *wait // nil when the client does not wait for nodes
	// pattern of the endpoint, such as "/services/{services}".
	pattern string
	// prefix is the first part of a path such as /team/services; workspace is what the
	// catalog calls that workspace, "" for the default one, and space its name.
	prefix, workspace, space string
}

// path returns the path as it was asked for, without a slash at its end.
func (c *call) path() string {
	return strings.TrimSuffix(c.r.URL.EscapedPath(), "/")
}
