// Package proxycache is the plugin proxy-cache: answers of upstreams are kept in the
// node's memory and served from there, without an upstream call.
//
// All configs of a node share one memory, bounded by mem_cache_size: the answers that
// were not asked for the longest make room. With cache_control the freshness rules of
// RFC 9111 hold for a shared cache; without it an answer is fresh for cache_ttl. Of
// several requests that miss the same answer at the same time one asks the upstream; the
// others wait for it, for five seconds at most, and go on by themselves when it can not
// be stored. The Admin endpoints under /proxy-cache ask all connected nodes.
//
// It refuses to store answers to HEAD, parts (206), 304 and answers with trailers.
package proxycache

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

const pluginName = "proxy-cache"

// Plugin is proxy-cache.
var Plugin = &pdk.Plugin{
	Name:      pluginName,
	Priority:  100,
	Schema:    pluginSchema,
	Build:     pdk.Build(build),
	Endpoints: endpoints,
	Command:   command,
}

type config struct {
	ResponseCode    []int    `json:"response_code"`
	RequestMethod   []string `json:"request_method"`
	ContentType     []string `json:"content_type"`
	CacheTTL        int64    `json:"cache_ttl"`
	Strategy        string   `json:"strategy"`
	CacheControl    bool     `json:"cache_control"`
	IgnoreURICase   bool     `json:"ignore_uri_case"`
	StorageTTL      int64    `json:"storage_ttl"`
	Memory          dict     `json:"memory"`
	VaryQueryParams []string `json:"vary_query_params"`
	VaryHeaders     []string `json:"vary_headers"`
	ResponseHeaders headers  `json:"response_headers"`
}

type dict struct {
	DictionaryName string `json:"dictionary_name"`
}

type headers struct {
	Age    bool `json:"age"`
	Status bool `json:"X-Cache-Status"`
	Key    bool `json:"X-Cache-Key"`
}

// States of an exchange, as X-Cache-Status tells them.
const (
	statusBypass  = "Bypass"
	statusMiss    = "Miss"
	statusRefresh = "Refresh"
	statusHit     = "Hit"
)

// memoryKey is where the node keeps the memory.
const memoryKey = "memory"

type plugin struct {
	config
	types  []mediaType
	slot   int
	memory *memory
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{config: c, slot: env.Slot()}
	for _, s := range c.ContentType {
		// A type that can not be read matches no answer.
		if m, ok := parseMediaType(s); ok {
			p.types = append(p.types, m)
		}
	}
	if !env.Validating() {
		p.memory, _ = env.Shared(memoryKey, func() any { return newMemory(env.CacheSize()) }).(*memory)
		env.Every(sweepInterval, func(context.Context) { p.memory.sweep(time.Now()) })
	}
	return pdk.Phases{
		Access: p.access, HeaderFilter: p.headerFilter, BodyFilter: p.bodyFilter, KeepsBody: true, Log: p.log,
	}, nil
}

// pending is what one exchange will tell and store. It is pooled.
type pending struct {
	status  string
	key     key
	keyText string
	// storing is set while the answer's body is gathered.
	storing bool
	answer  *entry
	body    []byte
	// flight is what others wait for, nil when nobody does.
	flight *flight
}

var pendings = sync.Pool{New: func() any { return new(pending) }}

func (p *plugin) access(x *pdk.Exchange) error {
	var d directives
	if p.CacheControl {
		d = parseDirectives(&x.Request.Header)
	}
	if !slices.Contains(p.RequestMethod, x.Request.Method) || d.noStore || d.noCache {
		p.wait(x, statusBypass)
		return nil
	}
	k := p.key(x)
	e := p.memory.get(&k, x.Start)
	status := statusMiss
	if e != nil {
		status = statusRefresh
	}
	if p.CacheControl {
		e = e.pick(&x.Request.Header, x.Start)
	}
	usable := e != nil && p.fresh(e, &d, x)
	switch {
	case usable:
		return p.serve(x, e)
	case d.onlyIfCached:
		if p.ResponseHeaders.Key {
			x.Response.Header.Set("X-Cache-Key", k.text(&x.Text))
		}
		return x.FailWithDefault(504, "", pdk.ErrorText)
	}
	e, own := p.collapse(x, &k, &d)
	if e != nil {
		return p.serve(x, e)
	}
	w := p.wait(x, status)
	w.key, w.keyText, w.flight = k, k.text(&x.Text), own
	return nil
}

// land lets those go on who wait for this exchange's answer.
func (p *plugin) land(x *pdk.Exchange, w *pending, stored bool) {
	if w.flight != nil {
		p.memory.flights.land(w.flight, stored, x.Start)
		w.flight = nil
	}
}

func (p *plugin) wait(x *pdk.Exchange, status string) *pending {
	w := pendings.Get().(*pending)
	w.status = status
	*x.Slot(p.slot) = w
	return w
}

// fresh tells whether a stored answer may be served.
func (p *plugin) fresh(e *entry, d *directives, x *pdk.Exchange) bool {
	age := x.Start.Sub(e.stored)
	if !p.CacheControl {
		return age <= time.Duration(p.CacheTTL)*time.Second
	}
	limit := func(seconds int64) time.Duration { return time.Duration(seconds) * time.Second }
	switch {
	case d.maxAge != unset && age > limit(d.maxAge):
		return false
	case d.minFresh != unset && e.ttl-age < limit(d.minFresh):
		return false
	case age > e.ttl:
		return d.maxStale != unset && !e.mustRevalidate && age-e.ttl <= limit(d.maxStale)
	}
	return true
}

// serve ends the exchange with a stored answer.
func (p *plugin) serve(x *pdk.Exchange, e *entry) error {
	h := &x.Response.Header
	if h.Len() > 0 {
		for i := range e.header {
			h.Del(e.header[i].Name)
		}
	}
	for i := range e.header {
		h.Add(e.header[i].Name, e.header[i].Value)
	}
	if p.ResponseHeaders.Age {
		// An answer that was waited for is younger than the request.
		h.Set("age", x.Text.Int(int64(max(0, x.Start.Sub(e.stored))/time.Second)))
	}
	if p.ResponseHeaders.Status {
		h.Set("X-Cache-Status", statusHit)
	}
	if p.ResponseHeaders.Key {
		h.Set("X-Cache-Key", e.key.text(&x.Text))
	}
	err := x.ExitBody(e.status, "", e.body)
	x.Source = pdk.SourceUpstream
	return err
}

func (p *plugin) headerFilter(x *pdk.Exchange) error {
	w, _ := (*x.Slot(p.slot)).(*pending)
	if w == nil {
		return nil
	}
	if w.keyText != "" {
		if w.answer = p.storable(x, w.key); w.answer == nil {
			w.status = statusBypass
		}
		length := x.Response.ContentLength
		w.storing = w.answer != nil && x.Request.Method != "HEAD" && length <= p.memory.maxEntry()
		if w.storing && length > 0 {
			w.body = make([]byte, 0, length)
		}
		if !w.storing {
			p.land(x, w, false)
		}
		if p.ResponseHeaders.Key {
			x.Response.Header.Set("X-Cache-Key", w.keyText)
		}
	}
	if p.ResponseHeaders.Status {
		x.Response.Header.Set("X-Cache-Status", w.status)
	}
	return nil
}

func (p *plugin) bodyFilter(x *pdk.Exchange, piece []byte, last bool) ([]byte, error) {
	w, _ := (*x.Slot(p.slot)).(*pending)
	if w == nil || !w.storing {
		return piece, nil
	}
	if int64(len(w.body)+len(piece)) > p.memory.maxEntry() {
		w.storing, w.body = false, nil
		p.land(x, w, false)
		return piece, nil
	}
	w.body = append(w.body, piece...)
	if last {
		w.storing = false
		length := x.Response.ContentLength
		if x.Response.Trailer.Len() == 0 && (length < 0 || length == int64(len(w.body))) {
			w.answer.body = slices.Clip(w.body)
			p.memory.put(w.answer)
			p.land(x, w, true)
		}
	}
	return piece, nil
}

func (p *plugin) log(x *pdk.Exchange) {
	slot := x.Slot(p.slot)
	if w, ok := (*slot).(*pending); ok {
		p.land(x, w, false)
		*w = pending{}
		*slot = nil
		pendings.Put(w)
	}
}
