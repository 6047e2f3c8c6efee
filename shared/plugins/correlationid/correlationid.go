// Package correlationid is the plugin correlation-id: each request gets an id in a
// header, unless it has one, by which it is found again in the upstream's logs.
package correlationid

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is correlation-id.
var Plugin = &pdk.Plugin{
	Name:     "correlation-id",
	Priority: 100001,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name: "correlation-id",
	Fields: []schema.Field{
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			schema.Field{Name: "header_name", Type: schema.String, Default: "Kong-Request-ID"}.Described("Header that holds the id."),
			schema.OneOf("uuid", "uuid#counter", "tracker").Named("generator").Defaults("uuid#counter").AsRequired().
				Described("How ids are made: random ones, one of the process with a counter, or one that says where and when."),
			schema.Field{Name: "echo_downstream", Type: schema.Boolean, Default: false, Required: true}.Described("Whether the client gets the id, too."),
		),
	},
}

type config struct {
	HeaderName     string `json:"header_name"`
	Generator      string `json:"generator"`
	EchoDownstream bool   `json:"echo_downstream"`
}

// process is the id of this process and the counter of all its configs.
var (
	process = uuid.NewString()
	counter atomic.Uint64
)

type plugin struct {
	config
	slot int
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	if c.HeaderName == "" {
		return pdk.Phases{}, nil // null: there is no header to fill
	}
	p := &plugin{config: c}
	phases := pdk.Phases{Access: p.access}
	if c.EchoDownstream {
		p.slot = env.Slot()
		phases.HeaderFilter = p.headerFilter
	}
	return phases, nil
}

func (p *plugin) access(x *pdk.Exchange) error {
	id := x.Request.Header.Get(p.HeaderName)
	if id == "" {
		id = p.generate(x)
		x.Request.Header.Set(p.HeaderName, id)
	}
	x.SetLogText("correlation_id", id)
	if p.EchoDownstream {
		e, _ := echoes.Get().(*echo)
		e.id = id
		*x.Slot(p.slot) = e
	}
	return nil
}

// echo keeps an id between two phases. It is pooled: a string in a slot would allocate.
type echo struct{ id string }

var echoes = sync.Pool{New: func() any { return new(echo) }}

func (p *plugin) generate(x *pdk.Exchange) string {
	switch p.Generator {
	case "uuid":
		var b [16]byte
		_, _ = rand.Read(b[:])
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		out := x.Text.Room(36)
		for i, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
			if i > 0 {
				out = append(out, '-')
			}
			out = hex.AppendEncode(out, part)
		}
		return x.Text.Keep(out)
	case "tracker":
		local := x.Request.Local
		out := append(x.Text.Room(96), local.Addr().Unmap().String()...)
		out = append(out, '-')
		out = strconv.AppendUint(out, uint64(local.Port()), 10)
		out = append(out, '-')
		out = strconv.AppendInt(out, int64(os.Getpid()), 10)
		out = append(out, '-')
		out = strconv.AppendUint(out, uint64(x.Request.Peer.Port()), 10)
		out = append(out, '-')
		out = strconv.AppendUint(out, counter.Add(1), 10)
		out = append(out, '-')
		out = strconv.AppendFloat(out, float64(x.Start.UnixMilli())/1000, 'f', 3, 64)
		return x.Text.Keep(out)
	default:
		out := append(x.Text.Room(len(process)+21), process...)
		out = append(out, '#')
		return x.Text.Keep(strconv.AppendUint(out, counter.Add(1), 10))
	}
}

func (p *plugin) headerFilter(x *pdk.Exchange) error {
	if e, ok := (*x.Slot(p.slot)).(*echo); ok {
		x.Response.Header.Set(p.HeaderName, e.id)
		*x.Slot(p.slot), e.id = nil, ""
		echoes.Put(e)
	} else if id := x.Request.Header.Get(p.HeaderName); id != "" {
		x.Response.Header.Set(p.HeaderName, id)
	} else {
		x.Response.Header.Set(p.HeaderName, p.generate(x))
	}
	return nil
}
