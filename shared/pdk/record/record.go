// Package record makes the JSON object that logging plugins write of an exchange, with
// the fields of Kong's kong.log.serialize. It owns the fields, their order and what is
// kept out of them: credentials in the Authorization headers. It refuses to know where
// records go.
package record

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// maxItems is how many header lines and arguments a record has, as in Kong.
const maxItems = 100

// Latencies of an exchange in milliseconds.
type Latencies struct {
	// Kong is what the gateway took before it called the upstream, or in all when it
	// answered itself. Proxy is the wait for the upstream's head, -1 without one. Receive
	// is the rest of the answer, Request the whole exchange.
	Kong, Proxy, Request, Receive int64
}

// LatenciesOf returns the latencies of an exchange that has ended.
func LatenciesOf(x *pdk.Exchange) Latencies {
	l := Latencies{Proxy: -1, Request: millis(x.Done.Sub(x.Start))}
	switch {
	case len(x.Tries) > 0:
		l.Kong = millis(x.UpstreamSent.Sub(x.Start))
		l.Proxy = millis(x.UpstreamFirst.Sub(x.UpstreamSent))
		l.Receive = millis(x.Done.Sub(x.UpstreamFirst))
	case x.Source == pdk.SourceUpstream: // a cache in the upstream's place
		l.Kong, l.Proxy = millis(x.AccessDone.Sub(x.Start)), 0
		l.Receive = millis(x.Done.Sub(x.AccessDone))
	default:
		l.Kong = millis(x.AccessDone.Sub(x.Start))
	}
	return l
}

func millis(d time.Duration) int64 { return max(0, d.Milliseconds()) }

// ResponseSize returns the bytes that were sent to the client, as far as they are known.
func ResponseSize(x *pdk.Exchange) int64 { return max(x.Response.Bytes, x.Response.Sent) }

// Source says in Kong's words who made the response.
func Source(x *pdk.Exchange) string {
	if x.Source == pdk.SourceUpstream {
		return "upstream"
	}
	return "kong"
}

// Workspace names the workspace of an exchange: "default", or another one, by its id while
// the data plane does not know its name.
func Workspace(x *pdk.Exchange) string {
	if x.WorkspaceName != "" {
		return x.WorkspaceName
	}
	if x.Workspace != "" {
		return x.Workspace
	}
	return "default"
}

// Append appends the record of an exchange that has ended.
func Append(b []byte, x *pdk.Exchange) []byte {
	from := len(b)
	b = append(b, `{"request":{"id":`...)
	b = appendString(b, x.ID)
	b = appendRequest(b, x)
	b = append(b, `},"upstream_uri":`...)
	b = appendUpstreamURI(b, x)
	b = append(b, `,"upstream_status":"`...)
	b = appendStatuses(b, x)
	b = append(b, `","response":{"status":`...)
	b = strconv.AppendInt(b, int64(x.Response.Status), 10)
	b = append(b, `,"headers":`...)
	b = appendResponseHeaders(b, x)
	b = append(b, `,"size":`...)
	b = strconv.AppendInt(b, ResponseSize(x), 10)
	l := LatenciesOf(x)
	b = append(b, `},"latencies":{"kong":`...)
	b = strconv.AppendInt(b, l.Kong, 10)
	b = append(b, `,"proxy":`...)
	b = strconv.AppendInt(b, l.Proxy, 10)
	b = append(b, `,"request":`...)
	b = strconv.AppendInt(b, l.Request, 10)
	b = append(b, `,"receive":`...)
	b = strconv.AppendInt(b, l.Receive, 10)
	b = append(b, '}')
	if x.Service != nil {
		b = append(b, `,"tries":`...)
		b = appendTries(b, x.Tries)
	}
	if x.Credential.ID != "" {
		b = append(b, `,"authenticated_entity":{"id":`...)
		b = appendString(b, x.Credential.ID)
		owner := x.Credential.ConsumerID
		if owner == "" && x.Consumer != nil {
			owner = x.Consumer.ID
		}
		b = appendMember(b, `,"consumer_id":`, owner)
		b = append(b, '}')
	}
	if x.Route != nil {
		b = append(b, `,"route":`...)
		b = appendRoute(b, x.Route)
	}
	if x.Service != nil {
		b = append(b, `,"service":`...)
		b = appendService(b, x.Service)
	}
	if x.Consumer != nil {
		b = append(b, `,"consumer":`...)
		b = appendConsumer(b, x.Consumer)
	}
	b = append(b, `,"client_ip":"`...)
	b = x.Request.Client.Addr().Unmap().AppendTo(b)
	b = append(b, `","started_at":`...)
	b = strconv.AppendInt(b, x.Start.UnixMilli(), 10)
	b = append(b, `,"source":"`...)
	b = append(b, Source(x)...)
	b = append(b, '"')
	if x.Workspace != "" {
		b = appendMember(b, `,"workspace":`, x.Workspace)
		if x.WorkspaceName != "" {
			b = appendMember(b, `,"workspace_name":`, x.WorkspaceName)
		}
	} else {
		b = append(b, `,"workspace_name":"default"`...)
	}
	if x.Revision > 0 {
		b = append(b, `,"sluice_revision":`...)
		b = strconv.AppendUint(b, x.Revision, 10)
	}
	b = append(b, '}')
	if edits := x.LogEdits(); len(edits) > 0 {
		return edit(b, from, edits)
	}
	return b
}

func appendRequest(b []byte, x *pdk.Exchange) []byte {
	q := &x.Request
	b = append(b, `,"uri":"`...)
	b = appendURI(b, q.RawPath, q.RawQuery, q.HasQuery)
	b = append(b, `","url":"`...)
	b = append(b, q.Scheme...)
	b = append(b, "://"...)
	b = appendText(b, hostOf(q.Host), true)
	b = append(b, ':')
	b = strconv.AppendInt(b, int64(q.Local.Port()), 10)
	b = appendURI(b, q.RawPath, q.RawQuery, q.HasQuery)
	b = append(b, `","querystring":`...)
	b = appendQuery(b, q.RawQuery)
	b = append(b, `,"method":`...)
	b = appendString(b, q.Method)
	b = append(b, `,"headers":`...)
	b = appendRequestHeaders(b, x)
	b = append(b, `,"size":`...)
	b = strconv.AppendInt(b, q.Bytes, 10)
	if q.TLSVersion != 0 {
		b = append(b, `,"tls":{"version":"`...)
		b = append(b, tlsVersion(q.TLSVersion)...)
		b = append(b, `","cipher":"`...)
		b = append(b, tlsCipher(q.TLSCipher)...)
		b = append(b, `","client_verify":"`...)
		b = append(b, clientVerify(q)...)
		b = append(b, `"}`...)
	}
	return b
}

// hostOf takes the port off a Host.
func hostOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host[:i]
	}
	return host
}

func appendURI(b []byte, path, query string, has bool) []byte {
	b = appendText(b, path, false)
	if has {
		b = append(b, '?')
		b = appendText(b, query, false)
	}
	return b
}

func appendUpstreamURI(b []byte, x *pdk.Exchange) []byte {
	b = append(b, '"')
	if x.Service != nil {
		b = appendURI(b, x.Upstream.Path, x.Upstream.RawQuery, x.Upstream.HasQuery)
	}
	return append(b, '"')
}

// appendStatuses appends the status of each try, as nginx does.
func appendStatuses(b []byte, x *pdk.Exchange) []byte {
	for i := range x.Tries {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(b, int64(x.Tries[i].Code), 10)
	}
	if len(x.Tries) == 0 && x.Response.UpstreamStatus > 0 {
		b = strconv.AppendInt(b, int64(x.Response.UpstreamStatus), 10)
	}
	return b
}

func appendTries(b []byte, tries []pdk.Try) []byte {
	b = append(b, '[')
	for i := range tries {
		t := &tries[i]
		if i > 0 {
			b = append(b, ',')
		}
		began := t.Start.Add(-t.Latency)
		b = append(b, `{"balancer_start":`...)
		b = strconv.AppendInt(b, began.UnixMilli(), 10)
		b = append(b, `,"balancer_start_ns":`...)
		b = strconv.AppendInt(b, began.UnixNano(), 10)
		b = append(b, `,"balancer_latency":`...)
		b = strconv.AppendInt(b, millis(t.Latency), 10)
		b = append(b, `,"balancer_latency_ns":`...)
		b = strconv.AppendInt(b, max(0, t.Latency.Nanoseconds()), 10)
		if a, err := netip.ParseAddrPort(t.Address); err == nil {
			b = append(b, `,"ip":"`...)
			b = a.Addr().AppendTo(b)
			b = append(b, `","port":`...)
			b = strconv.AppendUint(b, uint64(a.Port()), 10)
		}
		if t.Err != "" {
			b = append(b, `,"state":"failed","code":`...)
			b = strconv.AppendInt(b, int64(t.Code), 10)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// clientVerify is what nginx says of the client's certificate.
func clientVerify(q *pdk.Request) string {
	switch {
	case len(q.ClientChain) == 0:
		return "NONE"
	case q.ClientVerified:
		return "SUCCESS"
	}
	return "FAILED:unable to verify the first certificate"
}
