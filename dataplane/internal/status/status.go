// Package status answers on status_listen: what the node serves, since when and from
// where, whether it is ready for traffic, and figures for Prometheus. It refuses to
// change anything but the draining mark.
package status

import (
	"encoding/json"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
)

// Facts are what the node tells about itself.
type Facts struct {
	// Position that is served; Head is the control plane's, as far as known.
	Position, Head config.Position
	Source         config.Source
	// AppliedAt is when the position was swapped in; zero when there is none.
	AppliedAt time.Time
	// Connected to the control plane; ControlError is why not.
	Connected    bool
	ControlError string
	// Behind means that the node's first configuration is not complete yet.
	Behind bool
	// CacheError is what was wrong with the disk cache, "" for nothing.
	CacheError string
	// Refused is the last position that was refused, and Reasons why.
	Refused config.Position
	Reasons []config.EntityError
	// LeftOut is what the node serves without.
	LeftOut []config.EntityError
	// Integrity is what the node found out about its own memory.
	Integrity Integrity

	// CertificateExpires is when the link's certificate ends; zero when that is not known.
	// CertificateError is why there is no newer one, "" when nothing is wrong.
	CertificateExpires time.Time
	CertificateError   string

	Requests, Active, Panics int64
	Connections              Connections
	Routes, Entities         int
}

// Integrity counts how often the node has looked through what it serves, the entities that
// were not what was applied, and those of them that are again. Last is the last one found.
type Integrity struct {
	Passes, Found, Repaired int
	Last                    config.EntityError
	LastAt                  time.Time
}

func (i *Integrity) show() map[string]any {
	var last any
	if i.Found > 0 {
		last = map[string]any{"kind": i.Last.Kind, "id": i.Last.ID, "message": i.Last.Message, "at": i.LastAt.UTC().Format(time.RFC3339)}
	}
	return map[string]any{"passes": i.Passes, "found": i.Found, "repaired": i.Repaired, "last": last}
}

// Connections are figures of the clients' connections. Accepted counts since the start.
type Connections struct {
	Accepted, Active, Reading, Writing, Waiting int64
}

// Target is an address of a target, or a target without one, and its health in the words
// of balancer.TargetHealth.
type Target struct{ Upstream, Target, Address, Health string }

// Options of the handler.
type Options struct {
	NodeID, Hostname, Version string
	// Facts returns what is true now.
	Facts func() Facts
	// Targets returns the health of all targets, nil when nobody asks for it.
	Targets func() []Target
	// Metrics appends what plugins have measured; nil appends nothing.
	Metrics func(b []byte) []byte
	// Names returns what is known of names, as JSON; nil answers 404.
	Names func() any
	// Upstream returns how the node sees the upstream of a name or id, as JSON, or false
	// when there is none; nil answers 404.
	Upstream func(name string) (any, bool)
}

// Handler serves the status API.
type Handler struct {
	o        Options
	mux      *http.ServeMux
	started  time.Time
	draining atomic.Bool
}

// New makes the handler.
func New(o Options) *Handler {
	h := &Handler{o: o, mux: http.NewServeMux(), started: time.Now()}
	h.mux.HandleFunc("GET /status", h.status)
	h.mux.HandleFunc("GET /status/ready", h.ready)
	h.mux.HandleFunc("POST /status/ready", h.drain)
	h.mux.HandleFunc("GET /metrics", h.metrics)
	if o.Names != nil {
		h.mux.HandleFunc("GET /status/dns", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, o.Names()) })
	}
	if o.Upstream != nil {
		h.mux.HandleFunc("GET /upstreams/{name}/health", h.upstream)
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { answer(w, 404, map[string]any{"message": "Not found"}) })
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Drain turns readiness off, before the node stops or while it is to have no traffic, and
// on again.
func (h *Handler) Drain(on bool) { h.draining.Store(on) }

// Draining tells whether the node was taken out by Drain.
func (h *Handler) Draining() bool { return h.draining.Load() }

// position is a position as JSON.
type position struct {
	Lineage    string `json:"lineage"`
	Generation uint64 `json:"generation"`
	Revision   uint64 `json:"revision"`
	Root       string `json:"root"`
}

func show(p config.Position) *position {
	if p.IsZero() {
		return nil
	}
	return &position{p.Lineage, p.Generation, p.Revision, p.Root.String()}
}

func (h *Handler) status(w http.ResponseWriter, _ *http.Request) {
	f := h.o.Facts()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var age any
	if !f.AppliedAt.IsZero() {
		age = time.Since(f.AppliedAt).Seconds()
	}
	hash := "00000000000000000000000000000000"
	if !f.Position.IsZero() {
		hash = f.Position.Root.String()[:32]
	}
	answer(w, 200, map[string]any{
		"node_id": h.o.NodeID, "hostname": h.o.Hostname, "version": h.o.Version, "uptime_seconds": time.Since(h.started).Seconds(),
		"server": map[string]any{
			"total_requests": f.Requests, "connections_active": f.Connections.Active, "connections_accepted": f.Connections.Accepted,
			"connections_handled": f.Connections.Accepted, "connections_reading": f.Connections.Reading,
			"connections_writing": f.Connections.Writing, "connections_waiting": f.Connections.Waiting,
		},
		"memory":             map[string]any{"heap_bytes": m.HeapAlloc, "system_bytes": m.Sys},
		"configuration_hash": hash,
		"configuration": map[string]any{
			"position": show(f.Position), "head": show(f.Head), "source": f.Source.String(), "age_seconds": age,
			"routes": f.Routes, "entities": f.Entities, "refused": show(f.Refused), "reasons": showErrors(f.Reasons),
			"left_out": showErrors(f.LeftOut), "integrity": f.Integrity.show(),
		},
		"control_plane": map[string]any{"connected": f.Connected, "error": orNil(f.ControlError)},
		"certificate":   map[string]any{"expiry_timestamp": unixOrNil(f.CertificateExpires), "error": orNil(f.CertificateError)},
		"cache":         map[string]any{"error": orNil(f.CacheError)},
	})
}

func showErrors(errs []config.EntityError) []map[string]string {
	out := make([]map[string]string, 0, len(errs))
	for _, e := range errs {
		out = append(out, map[string]string{"kind": e.Kind, "id": e.ID, "name": e.Name, "field": e.Field, "message": e.Message})
	}
	return out
}

func unixOrNil(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (h *Handler) ready(w http.ResponseWriter, _ *http.Request) {
	switch f := h.o.Facts(); {
	case h.draining.Load():
		answer(w, 503, map[string]any{"message": "draining"})
	case f.Position.IsZero():
		answer(w, 503, map[string]any{"message": "no configuration available (empty configuration present)"})
	case f.Behind:
		answer(w, 503, map[string]any{"message": "configuration is behind the control plane's"})
	default:
		answer(w, 200, map[string]any{"message": "ready"})
	}
}

func (h *Handler) upstream(w http.ResponseWriter, r *http.Request) {
	u, ok := h.o.Upstream(r.PathValue("name"))
	if !ok {
		answer(w, 404, map[string]any{"message": "Not found"})
		return
	}
	answer(w, 200, map[string]any{"data": u, "node_id": h.o.NodeID})
}

func (h *Handler) drain(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("status") != "draining" {
		answer(w, 400, map[string]any{"message": "status must be draining"})
		return
	}
	h.Drain(true)
	w.WriteHeader(http.StatusNoContent)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
