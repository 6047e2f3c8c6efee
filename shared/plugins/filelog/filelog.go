// Package filelog is the plugin file-log: records of requests, a line each, are appended
// to a file. Lines are written by one goroutine a file, whole and in order; a request does
// not wait for the disk. With reopen the file is opened by its name for each write, so
// that one that was moved away is made anew; without it the file stays open.
package filelog

import (
	"context"
	"fmt"
	"os"

	"github.com/sluice-gateway/sluice/shared/lua/kit"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/queue"
	"github.com/sluice-gateway/sluice/shared/pdk/record"
	"github.com/sluice-gateway/sluice/shared/pdk/sink"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is file-log.
var Plugin = &pdk.Plugin{
	Name:     "file-log",
	Priority: 9,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name: "file-log",
	Fields: []schema.Field{
		schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...),
		schema.PluginConfig(
			schema.Field{Name: "path", Type: schema.String, Required: true, Match: "^[^*&%%\\`]+$", Err: "not a valid filename"}.
				Described("The file, which is made when it is not there; its folder must exist."),
			schema.Field{Name: "reopen", Type: schema.Boolean, Default: false, Required: true}.
				Described("Whether the file is opened by its name for each write, which rotation by moving needs."),
			schema.CustomFieldsByLua(),
		),
	},
}

type config struct {
	Path              string            `json:"path"`
	Reopen            bool              `json:"reopen"`
	CustomFieldsByLua map[string]string `json:"custom_fields_by_lua"`
}

// batch is how many lines are written at once when many wait.
const batch = 256

type plugin struct {
	feed   *sink.Feed
	custom func(x *pdk.Exchange)
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	custom, err := kit.CustomFields(env, "file-log", c.CustomFieldsByLua)
	if err != nil || env.Validating() {
		return pdk.Phases{}, err
	}
	key := c.Path
	if c.Reopen {
		key += " reopen"
	}
	p := &plugin{custom: custom}
	p.feed, _ = env.Shared(key, func() any {
		to := &file{path: c.Path, reopen: c.Reopen}
		return sink.NewFeed(queue.Options{Config: sink.Fire(batch), Send: sink.Joined("", "", "", to.write), Logger: env.Logger()}, to)
	}).(*sink.Feed)
	return pdk.Phases{Log: p.log}, nil
}

func (p *plugin) log(x *pdk.Exchange) {
	if p.custom != nil {
		p.custom(x)
	}
	e := queue.NewEntry()
	e.B = append(record.Append(e.B, x), '\n')
	p.feed.Put(e)
}

// file is used by the queue's goroutine, but for Close.
type file struct {
	path   string
	reopen bool
	f      *os.File
}

func (f *file) write(_ context.Context, lines []byte) error {
	if f.f == nil {
		opened, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // as Kong: collectors of another user read it
		if err != nil {
			return fmt.Errorf("open log: %w", err)
		}
		f.f = opened
	}
	_, err := f.f.Write(lines)
	if f.reopen || err != nil {
		_ = f.Close()
	}
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

// Close closes the file, when nobody writes any more.
func (f *file) Close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}
