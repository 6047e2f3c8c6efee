package prometheus

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// export appends the series of a node.
func export(node pdk.Node, b []byte) []byte {
	node.Each(func(_ string, state any) {
		if s, ok := state.(*set); ok {
			b = s.append(b)
		}
	})
	return b
}

// found is a route on its way out.
type found struct {
	routeKey
	*route
	// labels are service and route, space is the workspace, ready to be written.
	labels, space string
}

func (s *set) append(b []byte) []byte {
	var all []found
	for key, r := range *s.routes.Load() {
		labels := pdk.AppendLabel(pdk.AppendLabel(nil, "service", key.service), "route", key.route)
		all = append(all, found{key, r, string(labels), string(pdk.AppendLabel([]byte{','}, "workspace", key.workspace)[1:])})
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(a.routeKey.route, b.routeKey.route), cmp.Compare(a.workspace, b.workspace))
	})
	b = appendRequests(b, all)
	b = appendBandwidth(b, all)
	b = appendLatency(b, all, "kong_kong_latency_ms", "Milliseconds that the gateway took before it called the upstream.", func(l *latencies) *histogram { return &l.kong })
	b = appendLatency(b, all, "kong_upstream_latency_ms", "Milliseconds that the upstream took to answer.", func(l *latencies) *histogram { return &l.upstream })
	b = appendLatency(b, all, "kong_request_latency_ms", "Milliseconds from the first byte of a request to the last one of the response.", func(l *latencies) *histogram { return &l.request })
	b = pdk.AppendMetric(b, "kong_nginx_metric_errors_total", "counter", "Measurements that were not counted because there are too many series.")
	b = append(b, "kong_nginx_metric_errors_total "...)
	return append(strconv.AppendUint(b, s.dropped.Load(), 10), '\n')
}

func appendRequests(b []byte, all []found) []byte {
	headed := false
	for _, r := range all {
		codes := *r.codes.Load()
		keys := slices.SortedFunc(maps.Keys(codes), func(a, b codeKey) int {
			return cmp.Or(cmp.Compare(a.code, b.code), cmp.Compare(a.consumer, b.consumer))
		})
		for _, key := range keys {
			if !headed {
				b = pdk.AppendMetric(b, "kong_http_requests_total", "counter", "Requests by service, route, status, who answered and consumer.")
				headed = true
			}
			source := "kong"
			if key.upstream {
				source = "service"
			}
			b = append(append(b, "kong_http_requests_total{"...), r.labels...)
			b = append(strconv.AppendInt(append(b, `,code="`...), int64(key.code), 10), '"')
			b = pdk.AppendLabel(b, "source", source)
			b = append(b, r.space...)
			b = append(pdk.AppendLabel(b, "consumer", key.consumer), "} "...)
			b = append(strconv.AppendUint(b, codes[key].total(), 10), '\n')
		}
	}
	return b
}

func appendBandwidth(b []byte, all []found) []byte {
	headed := false
	for _, r := range all {
		byConsumer := *r.traffic.Load()
		for _, consumer := range slices.Sorted(maps.Keys(byConsumer)) {
			if !headed {
				b = pdk.AppendMetric(b, "kong_bandwidth_bytes", "counter", "Bytes of requests (ingress) and responses (egress).")
				headed = true
			}
			t := byConsumer[consumer]
			for _, way := range []struct {
				name string
				*counter
			}{{"egress", &t.out}, {"ingress", &t.in}} {
				b = append(append(b, "kong_bandwidth_bytes{"...), r.labels...)
				b = append(pdk.AppendLabel(b, "direction", way.name), r.space...)
				b = append(pdk.AppendLabel(b, "consumer", consumer), "} "...)
				b = append(strconv.AppendUint(b, way.total(), 10), '\n')
			}
		}
	}
	return b
}

func appendLatency(b []byte, all []found, name, help string, which func(l *latencies) *histogram) []byte {
	headed := false
	var buckets []uint64
	var sum uint64
	for _, r := range all {
		l := r.latencies.Load()
		if l == nil {
			continue
		}
		if !headed {
			b = pdk.AppendMetric(b, name, "histogram", help)
			headed = true
		}
		h := which(l)
		buckets, sum = h.read(buckets)
		count := uint64(0)
		line := func(suffix, le string, v uint64) {
			b = append(append(append(append(b, name...), suffix...), '{'), r.labels...)
			b = append(b, r.space...)
			if le != "" {
				b = pdk.AppendLabel(b, "le", le)
			}
			b = append(strconv.AppendUint(append(b, "} "...), v, 10), '\n')
		}
		for i, n := range buckets {
			count += n
			le := "+Inf"
			if i < len(h.bounds) {
				le = strconv.FormatInt(h.bounds[i], 10)
			}
			line("_bucket", le, count)
		}
		line("_count", "", count)
		line("_sum", "", sum)
	}
	return b
}
