package opentelemetry

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-gateway/sluice/shared/pdk/queue"
	"github.com/sluice-gateway/sluice/shared/version"
)

// The messages are written by hand, because the log phase must not allocate for each of a
// span's attributes: what is here is in memory of a queue's entry once, and goes out as it
// is. Tests read it with the official messages.

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// appendText appends a KeyValue with a string, joined from parts.
func appendText(b []byte, field protowire.Number, key string, parts ...string) []byte {
	n := 0
	for _, p := range parts {
		if !utf8.ValidString(p) {
			// A collector would refuse the whole batch.
			return appendText(b, field, key, strings.ToValidUTF8(strings.Join(parts, ""), "\uFFFD"))
		}
		n += len(p)
	}
	value := 1 + protowire.SizeBytes(n)
	b = appendPair(b, field, key, value)
	b = append(b, valueString<<3|byte(protowire.BytesType))
	b = protowire.AppendVarint(b, uint64(n))
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// appendPair appends the start of a KeyValue whose AnyValue has size bytes.
func appendPair(b []byte, field protowire.Number, key string, size int) []byte {
	pair := 1 + protowire.SizeBytes(len(key)) + 1 + protowire.SizeBytes(size)
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(pair))
	b = append(b, pairKey<<3|byte(protowire.BytesType))
	b = protowire.AppendString(b, key)
	b = append(b, pairValue<<3|byte(protowire.BytesType))
	return protowire.AppendVarint(b, uint64(size))
}

func appendInt(b []byte, key string, v int64) []byte {
	b = appendPair(b, spanAttributes, key, 1+protowire.SizeVarint(uint64(v)))
	return protowire.AppendVarint(append(b, valueInt<<3|byte(protowire.VarintType)), uint64(v))
}

func appendDouble(b []byte, key string, v float64) []byte {
	b = appendPair(b, spanAttributes, key, 1+8)
	return protowire.AppendFixed64(append(b, valueDouble<<3|byte(protowire.Fixed64Type)), math.Float64bits(v))
}

func appendAddress(b []byte, key string, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	var space [64]byte
	text := a.Unmap().AppendTo(space[:0])
	b = appendPair(b, spanAttributes, key, 1+protowire.SizeBytes(len(text)))
	b = append(b, valueString<<3|byte(protowire.BytesType))
	return protowire.AppendBytes(b, text)
}

// Numbers of the fields of TracesData and LogsData, which ExportTraceServiceRequest and
// ExportLogsServiceRequest equal on the wire, and of what is inside.
const (
	dataResources                              = 1
	resourceSelf, resourceScopes               = 1, 2
	resourceAttributes                         = 1
	scopeSelf, scopeItems, scopeName, scopeVer = 1, 2, 1, 2
)

// resource is the message Resource of a node. Attributes of the config come over its own.
func resource(nodeID string, attributes map[string]string) []byte {
	all := map[string]string{"service.name": "kong", "service.instance.id": nodeID, "service.version": version.Kong}
	maps.Copy(all, attributes)
	var b []byte
	for _, key := range slices.Sorted(maps.Keys(all)) {
		b = appendText(b, resourceAttributes, key, all[key])
	}
	return b
}

// request is the body that takes a batch of spans or of log records to a collector.
func request(resource []byte, batch []*queue.Entry) []byte {
	scope := protowire.AppendString(protowire.AppendTag(nil, scopeName, protowire.BytesType), "kong-internal")
	scope = protowire.AppendString(protowire.AppendTag(scope, scopeVer, protowire.BytesType), "0.1.0")
	items := 1 + protowire.SizeBytes(len(scope))
	for _, e := range batch {
		items += 1 + protowire.SizeBytes(len(e.B))
	}
	size := 1 + protowire.SizeBytes(len(resource)) + 1 + protowire.SizeBytes(items)
	b := make([]byte, 0, size+16)
	b = protowire.AppendVarint(protowire.AppendTag(b, dataResources, protowire.BytesType), uint64(size))
	b = appendBytes(b, resourceSelf, resource)
	b = protowire.AppendVarint(protowire.AppendTag(b, resourceScopes, protowire.BytesType), uint64(items))
	b = appendBytes(b, scopeSelf, scope)
	for _, e := range batch {
		b = appendBytes(b, scopeItems, e.B)
	}
	return b
}
