package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
)

// pluginCase is a plugin with a config that lets every request through.
type pluginCase struct {
	name, config string
	// consumer are members of the consumer that the request's headers are of.
	consumer string
	headers  []string
}

// pluginCases are those whose cost is of this process alone: what talks to a sink does so
// beside the request, and its sink here is a port that nobody listens on.
func (s *stack) pluginCases() []pluginCase {
	sink := s.backend // of HTTP
	return []pluginCase{
		{name: "acl", config: `{"name":"key-auth"},{"name":"acl","config":{"allow":["g"]}}`, consumer: `"keyauth_credentials":[{"key":"k"}],"acls":[{"group":"g"}]`, headers: []string{"apikey: k"}},
		{name: "basic-auth", config: `{"name":"basic-auth"}`, consumer: `"basicauth_credentials":[{"username":"u","password":"p"}]`, headers: []string{"Authorization: Basic dTpw"}},
		{name: "bot-detection", config: `{"name":"bot-detection"}`, headers: []string{"User-Agent: Mozilla/5.0"}},
		{name: "correlation-id", config: `{"name":"correlation-id","config":{"header_name":"X-Correlation","echo_downstream":true}}`},
		{name: "cors", config: `{"name":"cors"}`, headers: []string{"Origin: http://a.example"}},
		{name: "file-log", config: `{"name":"file-log","config":{"path":"/dev/null"}}`},
		{name: "http-log", config: `{"name":"http-log","config":{"http_endpoint":"http://` + sink + `/log","queue":{"max_batch_size":200,"max_coalescing_delay":1}}}`},
		{name: "ip-restriction", config: `{"name":"ip-restriction","config":{"allow":["127.0.0.0/8"]}}`},
		{name: "key-auth", config: `{"name":"key-auth"}`, consumer: `"keyauth_credentials":[{"key":"k"}]`, headers: []string{"apikey: k"}},
		{name: "opentelemetry", config: `{"name":"opentelemetry","config":{"traces_endpoint":"http://` + sink + `/v1/traces","sampling_rate":0.01}}`},
		{name: "post-function", config: `{"name":"post-function","config":{"header_filter":["kong.response.set_header('x-lua', '1')"]}}`},
		{name: "pre-function", config: `{"name":"pre-function","config":{"access":["kong.service.request.set_header('x-lua', kong.request.get_method())"]}}`},
		{name: "prometheus", config: `{"name":"prometheus","config":{"status_code_metrics":true,"latency_metrics":true,"bandwidth_metrics":true}}`},
		{name: "rate-limiting local", config: `{"name":"rate-limiting","config":{"policy":"local","hour":1000000000}}`},
		{name: "rate-limiting cluster", config: `{"name":"rate-limiting","config":{"policy":"cluster","hour":1000000000}}`},
		{name: "request-size-limiting", config: `{"name":"request-size-limiting"}`},
		{name: "request-transformer", config: `{"name":"request-transformer","config":{"add":{"headers":["X-A:b"]},"remove":{"headers":["X-C"]}}}`},
		{name: "response-ratelimiting", config: `{"name":"response-ratelimiting","config":{"limits":{"video":{"hour":1000000000}}}}`},
		{name: "response-transformer", config: `{"name":"response-transformer","config":{"add":{"headers":["X-A:b"]},"remove":{"headers":["X-C"]}}}`},
		{name: "udp-log", config: `{"name":"udp-log","config":{"host":"127.0.0.1","port":9}}`},
	}
}

func (c *pluginCase) document(s *stack) string {
	consumer := ""
	if c.consumer != "" {
		consumer = `,"consumers":[{"username":"c",` + c.consumer + `}]`
	}
	return fmt.Sprintf(`{"_format_version":"3.0","plugins":[%s],"services":[{"name":"upstream","url":"http://%s","routes":[{"name":"r0","paths":["/r0"]}]}]%s}`,
		c.config, s.upstream, consumer)
}

// pluginRow is what a plugin adds to the CPU time of a request, in microseconds; the median
// over the rounds, each against the bare route of the same round.
type pluginRow struct {
	Name  string    `json:"plugin"`
	Added []float64 `json:"added_cpu_us"`
	// Ratio is the CPU per request to that of the bare route.
	Ratio []float64 `json:"to_bare_route"`
}

// measurePlugins measures each plugin alone on a route.
func (s *stack) measurePlugins(ctx context.Context, rounds, each, connections int) ([]*pluginRow, error) {
	cases := s.pluginCases()
	rows := make([]*pluginRow, len(cases))
	bare := testCase{name: "bare", proxy: sluice, config: s.config("", 1, 1), path: "/r0"}
	for round := range rounds {
		fmt.Printf("plugins, round %d of %d: %d cases of %d s\n", round+1, rounds, len(cases), each)
		base, err := s.measure(ctx, bare, each, connections)
		if err != nil {
			return nil, err
		}
		for i := range cases {
			c := &cases[i]
			m, err := s.measure(ctx, testCase{name: c.name, proxy: sluice, config: c.document(s), path: "/r0", headers: c.headers}, each, connections)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			if rows[i] == nil {
				rows[i] = &pluginRow{Name: c.name}
			}
			rows[i].Added, rows[i].Ratio = append(rows[i].Added, m.CPU-base.CPU), append(rows[i].Ratio, m.CPU/base.CPU)
		}
	}
	return rows, nil
}

func printPlugins(out io.Writer, rows []*pluginRow) {
	_, _ = fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "plugin\tadded CPU us/request\tto the bare route\t")
	for _, r := range rows {
		_, _ = fmt.Fprintf(table, "%s\t%.1f\t%.2f\t\n", r.Name, median(r.Added), median(r.Ratio))
	}
	_ = table.Flush()
}
