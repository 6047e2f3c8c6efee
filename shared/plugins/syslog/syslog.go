// Package syslog is the plugin syslog: records of requests are handed to the machine's
// system log, with a severity that depends on the status. The daemon is reached by its
// socket; while it is away records are lost and counted.
package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/shared/lua/kit"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/queue"
	"github.com/sluice-gateway/sluice/shared/pdk/record"
	"github.com/sluice-gateway/sluice/shared/pdk/sink"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is syslog.
var Plugin = &pdk.Plugin{
	Name:     "syslog",
	Priority: 4,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name: "syslog",
	Fields: []schema.Field{
		schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...),
		schema.PluginConfig(
			record.SeverityField("log_level").AsRequired().Described("Least severe records that are logged."),
			record.SeverityField("successful_severity").AsRequired().Described("Severity of statuses below 400."),
			record.SeverityField("client_errors_severity").AsRequired().Described("Severity of statuses from 400 to 499."),
			record.SeverityField("server_errors_severity").AsRequired().Described("Severity of statuses from 500."),
			schema.CustomFieldsByLua(),
			schema.OneOf("auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp",
				"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7").Named("facility").Defaults("user").AsRequired().
				Described("What kind of program the system log takes the gateway for."),
		),
	},
}

type config struct {
	record.Severities
	CustomFieldsByLua map[string]string `json:"custom_fields_by_lua"`
	Facility          string            `json:"facility"`
}

// facilities by their numbers in RFC 5424.
var facilities = map[string]int{
	"kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7, "uucp": 8, "cron": 9, "authpriv": 10, "ftp": 11,
	"local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
}

type plugin struct {
	config
	facility int
	feed     *sink.Feed
	custom   func(x *pdk.Exchange)
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	custom, err := kit.CustomFields(env, "syslog", c.CustomFieldsByLua)
	if err != nil || env.Validating() {
		return pdk.Phases{}, err
	}
	p := &plugin{config: c, custom: custom, facility: facilities[c.Facility]}
	p.feed, _ = env.Shared("syslog", func() any {
		to := &daemon{sockets: sockets}
		send := func(ctx context.Context, batch []*queue.Entry) error { return to.send(ctx, batch[0].B) }
		return sink.NewFeed(queue.Options{Config: sink.Fire(1), Send: send, Logger: env.Logger()}, to)
	}).(*sink.Feed)
	return pdk.Phases{Log: p.log}, nil
}

func (p *plugin) log(x *pdk.Exchange) {
	severity, logged := p.Of(x.Response.Status)
	if !logged {
		return
	}
	if p.custom != nil {
		p.custom(x)
	}
	e := queue.NewEntry()
	b := append(e.B, '<')
	b = strconv.AppendInt(b, int64(p.facility<<3|severity), 10)
	b = append(b, '>')
	b = x.Done.Local().AppendFormat(b, time.Stamp)
	b = append(b, " kong: "...)
	e.B = record.Append(b, x)
	p.feed.Put(e)
}

// sockets are where a daemon listens.
var sockets = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}

// patience bounds the wait for a daemon that does not read.
const patience = time.Second

// daemon is used by the queue's goroutine, but for Close.
type daemon struct {
	sockets []string
	conn    net.Conn
}

func (d *daemon) send(ctx context.Context, message []byte) error {
	for try := 0; ; try++ {
		if err := d.open(ctx); err != nil {
			return err
		}
		_ = d.conn.SetWriteDeadline(time.Now().Add(patience))
		_, err := d.conn.Write(message)
		if err == nil {
			return nil
		}
		_ = d.Close()
		if try == 1 {
			return fmt.Errorf("write to the system log: %w", err)
		}
	}
}

func (d *daemon) open(ctx context.Context) error {
	if d.conn != nil {
		return nil
	}
	var dialer net.Dialer
	var errs []error
	for _, path := range d.sockets {
		conn, err := dialer.DialContext(ctx, "unixgram", path)
		if err == nil {
			d.conn = conn
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("open the system log: %w", errors.Join(errs...))
}

// Close closes the socket, when nobody sends any more.
func (d *daemon) Close() error {
	if d.conn == nil {
		return nil
	}
	err := d.conn.Close()
	d.conn = nil
	return err
}
