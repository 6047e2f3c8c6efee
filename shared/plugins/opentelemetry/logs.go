package opentelemetry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/queue"
	"github.com/sluice-gateway/sluice/shared/pdk/sink"
)

// tapped is a logger that lets others read along.
type tapped interface {
	RegisterSink(sink hclog.SinkAdapter)
	DeregisterSink(sink hclog.SinkAdapter)
}

// openLogs sends what the node logs, for as long as there is the config.
func (p *plugin) openLogs(env pdk.Env) error {
	feed, err := p.feed(env, "logs", p.LogsEndpoint)
	if err != nil {
		return err
	}
	logger, ok := env.Logger().(tapped)
	if !ok {
		env.Logger().Warn("the node's messages can not be read along", "plugin_id", env.PluginID())
		return nil
	}
	reader := &messages{feed: feed, log: env.Logger()}
	logger.RegisterSink(reader)
	env.Go(func(ctx context.Context) {
		<-ctx.Done()
		logger.DeregisterSink(reader)
	})
	return nil
}

// messages turns what is logged into log records.
type messages struct {
	feed *sink.Feed
	log  hclog.Logger
}

// Numbers of the fields of opentelemetry.proto.logs.v1.LogRecord.
const (
	recordTime, recordSeverity, recordSeverityText, recordBody, recordAttributes, recordObserved = 1, 2, 3, 5, 6, 11
)

// severity is a level in OpenTelemetry's numbers and Kong's words.
func severity(l hclog.Level) (number uint64, text string) {
	switch l {
	case hclog.Trace:
		return 1, "TRACE"
	case hclog.Debug:
		return 5, "DEBUG"
	case hclog.Warn:
		return 13, "WARN"
	case hclog.Error:
		return 17, "ERR"
	default:
		return 9, "INFO"
	}
}

// Accept implements hclog.SinkAdapter. What the plugin itself logs is left out: a collector
// that is away would have its own failure reported to it.
func (m *messages) Accept(name string, level hclog.Level, message string, args ...any) {
	if level < m.log.GetLevel() || strings.HasSuffix(name, "opentelemetry") {
		return
	}
	now := uint64(time.Now().UnixNano())
	number, text := severity(level)
	e := queue.NewEntry()
	b := protowire.AppendFixed64(protowire.AppendTag(e.B, recordTime, protowire.Fixed64Type), now)
	b = protowire.AppendVarint(protowire.AppendTag(b, recordSeverity, protowire.VarintType), number)
	b = protowire.AppendString(protowire.AppendTag(b, recordSeverityText, protowire.BytesType), text)
	b = protowire.AppendTag(b, recordBody, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(1+protowire.SizeBytes(len(message))))
	b = protowire.AppendString(protowire.AppendTag(b, valueString, protowire.BytesType), message)
	b = appendText(b, recordAttributes, "logger", name)
	for i := 0; i+1 < len(args); i += 2 {
		key := fmt.Sprint(args[i])
		if key == "request_id" {
			key = "request.id"
		}
		b = appendText(b, recordAttributes, key, strings.ToValidUTF8(fmt.Sprint(args[i+1]), "\uFFFD"))
	}
	e.B = protowire.AppendFixed64(protowire.AppendTag(b, recordObserved, protowire.Fixed64Type), now)
	m.feed.Put(e)
}
