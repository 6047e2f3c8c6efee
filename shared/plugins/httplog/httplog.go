// Package httplog is the plugin http-log: records of requests are sent to an HTTP
// server, several at once as a JSON array when the queue batches. Answers below 300 take
// them; others, and a server that is away, have them sent again for as long as the queue
// says. The server's certificate is not checked, as in Kong.
package httplog

import (
	"encoding/base64"
	"net/http"
	"time"

	"github.com/sluice-gateway/sluice/shared/lua/kit"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/queue"
	"github.com/sluice-gateway/sluice/shared/pdk/record"
	"github.com/sluice-gateway/sluice/shared/pdk/sink"
	"github.com/sluice-gateway/sluice/shared/version"
)

// Plugin is http-log.
var Plugin = &pdk.Plugin{
	Name:     "http-log",
	Priority: 12,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

type config struct {
	HTTPEndpoint      string            `json:"http_endpoint"`
	Method            string            `json:"method"`
	ContentType       string            `json:"content_type"`
	Timeout           float64           `json:"timeout"`
	Keepalive         float64           `json:"keepalive"`
	Headers           map[string]string `json:"headers"`
	Queue             queue.Config      `json:"queue"`
	CustomFieldsByLua map[string]string `json:"custom_fields_by_lua"`
	queue.Legacy
}

type plugin struct {
	feed   *sink.Feed
	custom func(x *pdk.Exchange)
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	custom, err := kit.CustomFields(env, "http-log", c.CustomFieldsByLua)
	if err != nil || env.Validating() {
		return pdk.Phases{}, err
	}
	c.Queue = c.Apply(c.Queue)
	// Configs that send alike share a queue.
	c.CustomFieldsByLua = nil
	key, err := sink.Key(c)
	if err != nil {
		return pdk.Phases{}, err
	}
	p := &plugin{custom: custom}
	p.feed, _ = env.Shared(key, func() any { return newFeed(env, &c) }).(*sink.Feed)
	return pdk.Phases{Log: p.log}, nil
}

func newFeed(env pdk.Env, c *config) *sink.Feed {
	endpoint, user := userInfo(c.HTTPEndpoint)
	header := http.Header{}
	for name, value := range c.Headers {
		header.Set(name, value)
	}
	if user != "" {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user)))
	}
	header.Set("Content-Type", c.ContentType)
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", "sluice/"+version.Sluice())
	}
	timeout := time.Duration(c.Timeout * float64(time.Millisecond))
	to := sink.NewHTTP(sink.HTTPOptions{
		URL: endpoint, Method: c.Method, Header: header, Connect: timeout, Send: timeout, Read: timeout,
		Idle: time.Duration(c.Keepalive * float64(time.Millisecond)),
	})
	send := sink.Joined("[", ",", "]", to.Send)
	if c.Queue.MaxBatchSize <= 1 {
		send = sink.Joined("", ",", "", to.Send)
	}
	return sink.NewFeed(queue.Options{Config: c.Queue, Send: send, Logger: env.Logger()}, to)
}

func (p *plugin) log(x *pdk.Exchange) {
	if p.custom != nil {
		p.custom(x)
	}
	e := queue.NewEntry()
	e.B = record.Append(e.B, x)
	p.feed.Put(e)
}
