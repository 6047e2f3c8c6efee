package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// pluginCase is a plugin with a config that lets every request through, or answers it with
// success.
type pluginCase struct {
	name, config string
	// consumer are members of the consumer that the request's headers are of, others are
	// more consumers, and entities more of the document.
	consumer, others, entities string
	headers                    []string
	// first is a request that comes before: its cookies are sent with all others.
	first []string
}

// Ids of entities that others refer to.
const (
	strangerID = "11111111-1111-4111-8111-111111111111"
	clientID   = "22222222-2222-4222-8222-222222222222"
)

// pluginCases has every plugin of docs/plugins.md. What talks to a sink does so beside the
// request, and is taken and thrown away here.
// syslog is left out on a machine that has none.
func (s *stack) pluginCases() []pluginCase {
	sink := s.backend // of HTTP
	host, port, _ := net.SplitHostPort(s.drain)
	cases := []pluginCase{
		{name: "acl", config: `{"name":"key-auth"},{"name":"acl","config":{"allow":["g"]}}`, consumer: `"keyauth_credentials":[{"key":"k"}],"acls":[{"group":"g"}]`, headers: []string{"apikey: k"}},
		{name: "basic-auth", config: `{"name":"basic-auth"}`, consumer: `"basicauth_credentials":[{"username":"u","password":"p"}]`, headers: []string{"Authorization: Basic dTpw"}},
		{name: "bot-detection", config: `{"name":"bot-detection"}`, headers: []string{"User-Agent: Mozilla/5.0"}},
		{name: "correlation-id", config: `{"name":"correlation-id","config":{"header_name":"X-Correlation","echo_downstream":true}}`},
		{name: "cors", config: `{"name":"cors"}`, headers: []string{"Origin: http://a.example"}},
		{name: "datadog", config: `{"name":"datadog","config":{"host":"` + host + `","port":` + port + `}}`},
		{name: "file-log", config: `{"name":"file-log","config":{"path":"/dev/null"}}`},
		hmacCase(),
		{name: "http-log", config: `{"name":"http-log","config":{"http_endpoint":"http://` + sink + `/log","queue":{"max_batch_size":200,"max_coalescing_delay":1}}}`},
		{name: "ip-restriction", config: `{"name":"ip-restriction","config":{"allow":["127.0.0.0/8"]}}`},
		jwtCase(),
		{name: "key-auth", config: `{"name":"key-auth"}`, consumer: `"keyauth_credentials":[{"key":"k"}]`, headers: []string{"apikey: k"}},
		{name: "loggly", config: `{"name":"loggly","config":{"key":"k","host":"` + host + `","port":` + port + `}}`},
		{
			name: "oauth2", config: `{"name":"oauth2","config":{"enable_client_credentials":true,"provision_key":"p","global_credentials":true}}`,
			consumer: `"oauth2_credentials":[{"id":"` + clientID + `","name":"app","client_id":"app","client_secret":"s","redirect_uris":["http://a.example"]}]`,
			entities: `"oauth2_tokens":[{"access_token":"token","expires_in":0,"token_type":"bearer","credential":{"id":"` + clientID + `"}}]`,
			headers:  []string{"Authorization: Bearer token"},
		},
		{name: "opentelemetry", config: `{"name":"opentelemetry","config":{"traces_endpoint":"http://` + sink + `/v1/traces","sampling_rate":0.01}}`},
		{name: "post-function", config: `{"name":"post-function","config":{"header_filter":["kong.response.set_header('x-lua', '1')"]}}`},
		{name: "pre-function", config: `{"name":"pre-function","config":{"access":["kong.service.request.set_header('x-lua', kong.request.get_method())"]}}`},
		{name: "prometheus", config: `{"name":"prometheus","config":{"status_code_metrics":true,"latency_metrics":true,"bandwidth_metrics":true}}`},
		{name: "proxy-cache", config: strings.TrimSuffix(strings.TrimPrefix(cache, `"plugins":[`), `],`)},
		{name: "rate-limiting local", config: `{"name":"rate-limiting","config":{"policy":"local","hour":1000000000}}`},
		{name: "rate-limiting cluster", config: `{"name":"rate-limiting","config":{"policy":"cluster","hour":1000000000}}`},
		{name: "redirect", config: `{"name":"redirect","config":{"status_code":302,"location":"http://` + s.upstream + `/"}}`},
		{name: "request-size-limiting", config: `{"name":"request-size-limiting"}`},
		{name: "request-termination", config: `{"name":"request-termination","config":{"status_code":200,"content_type":"text/plain","body":"` + s.answer + `"}}`},
		{name: "request-transformer", config: `{"name":"request-transformer","config":{"add":{"headers":["X-A:b"]},"remove":{"headers":["X-C"]}}}`},
		{name: "response-ratelimiting", config: `{"name":"response-ratelimiting","config":{"limits":{"video":{"hour":1000000000}}}}`},
		{name: "response-transformer", config: `{"name":"response-transformer","config":{"add":{"headers":["X-A:b"]},"remove":{"headers":["X-C"]}}}`},
		{name: "retry", config: `{"name":"retry"}`},
		{
			name:     "session",
			config:   `{"name":"key-auth","config":{"anonymous":"` + strangerID + `"}},{"name":"session","config":{"secret":"0123456789abcdef","cookie_secure":false}}`,
			consumer: `"keyauth_credentials":[{"key":"k"}]`,
			others:   `,{"id":"` + strangerID + `","username":"stranger"}`,
			first:    []string{"apikey: k"},
		},
		{name: "statsd", config: `{"name":"statsd","config":{"host":"` + host + `","port":` + port + `}}`},
		{name: "tcp-log", config: `{"name":"tcp-log","config":{"host":"` + host + `","port":` + port + `}}`},
		{name: "udp-log", config: `{"name":"udp-log","config":{"host":"` + host + `","port":` + port + `}}`},
	}
	if _, err := os.Stat("/dev/log"); err == nil {
		cases = append(cases, pluginCase{name: "syslog", config: `{"name":"syslog"}`})
	}
	return cases
}

func jwtCase() pluginCase {
	text := base64.RawURLEncoding.EncodeToString
	signed := text([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + text([]byte(`{"iss":"k"}`))
	return pluginCase{
		name: "jwt", config: `{"name":"jwt"}`, consumer: `"jwt_secrets":[{"key":"k","secret":"s","algorithm":"HS256"}]`,
		headers: []string{"Authorization: Bearer " + signed + "." + text(hmacSHA256("s", signed))},
	}
}

// hmacCase signs the date of now, which is good for a day.
func hmacCase() pluginCase {
	date := time.Now().UTC().Format(http.TimeFormat)
	return pluginCase{
		name: "hmac-auth", config: `{"name":"hmac-auth","config":{"clock_skew":86400}}`,
		consumer: `"hmacauth_credentials":[{"username":"u","secret":"s"}]`,
		headers: []string{
			"Date: " + date,
			`Authorization: hmac username="u", algorithm="hmac-sha256", headers="date", signature="` +
				base64.StdEncoding.EncodeToString(hmacSHA256("s", "date: "+date)) + `"`,
		},
	}
}

func hmacSHA256(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	_, _ = h.Write([]byte(text))
	return h.Sum(nil)
}

func (c *pluginCase) document(s *stack) string {
	more := ""
	if c.consumer != "" {
		more = `,"consumers":[{"username":"c",` + c.consumer + `}` + c.others + `]`
	}
	if c.entities != "" {
		more += "," + c.entities
	}
	return fmt.Sprintf(`{"_format_version":"3.0","plugins":[%s],"services":[{"name":"upstream","url":"http://%s","routes":[{"name":"r0","paths":["/r0"]}]}]%s}`,
		c.config, s.upstream, more)
}

// cookies makes the first request and returns the header of its cookies.
func (c *pluginCase) cookies(ctx context.Context, s *stack, t testCase) ([]string, error) {
	if c.first == nil {
		return nil, nil
	}
	t.headers = c.first
	if err := s.configure(ctx, t); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url(t)+t.path, nil)
	if err != nil {
		return nil, err
	}
	for _, line := range c.first {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	var pairs []string
	for _, cookie := range answer.Cookies() {
		pairs = append(pairs, cookie.Name+"="+cookie.Value)
	}
	if err := answer.Body.Close(); err != nil {
		return nil, err
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("%s sets no cookie", s.url(t)+t.path)
	}
	return []string{"Cookie: " + strings.Join(pairs, "; ")}, nil
}
