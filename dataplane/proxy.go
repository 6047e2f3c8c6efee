package dataplane

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/accesslog"
	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/controlclient"
	"github.com/sluice-gateway/sluice/dataplane/internal/counters"
	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/dataplane/internal/server"
	"github.com/sluice-gateway/sluice/dataplane/internal/status"
	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/settings"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
	"github.com/sluice-gateway/sluice/shared/version"
)

func (d *DataPlane) openProxy(names *balancer.Balancer) error {
	pool, requests := d.s.Int("upstream_keepalive_pool_size"), d.s.Int("upstream_keepalive_max_requests")
	spilled := filepath.Join(d.s.Path("prefix"), "tmp")
	if err := os.MkdirAll(spilled, 0o700); err != nil {
		return fmt.Errorf("prefix: %w", err)
	}
	up := transport.New(transport.Options{
		TempDir:  spilled,
		PoolSize: orNegative(pool), MaxRequests: orNegative(requests), IdleTimeout: orForever(d.s.Duration("upstream_keepalive_idle_timeout")),
		Logger: d.log.Named("transport"),
	})
	d.onClose(up.Close)
	if target := d.s.Log("proxy_access_log"); !target.Off {
		if err := os.MkdirAll(filepath.Dir(target.Path), 0o750); err != nil {
			return fmt.Errorf("proxy_access_log: %w", err)
		}
		log, err := accesslog.Open(target.Path)
		if err != nil {
			return fmt.Errorf("proxy_access_log: %w", err)
		}
		d.access = log
		d.onClose(log.Close)
	}
	trusted, err := networks(d.s.List("trusted_ips"))
	if err != nil {
		return err
	}
	form, ok := pdk.ParseErrorType(d.s.String("error_default_type"))
	if !ok {
		return fmt.Errorf("error_default_type: %q is not known", d.s.String("error_default_type"))
	}
	ports, err := portMaps(d.s.List("port_maps"))
	if err != nil {
		return err
	}
	templates, err := errorTemplates(d.s)
	if err != nil {
		return err
	}
	token, err := d.debugToken()
	if err != nil {
		return err
	}
	if d.s.Bool("traffic_report") {
		d.counters = counters.New(counters.Options{})
	}
	d.proxy = proxy.New(proxy.Options{
		Plan: d.plans.Current, Balancer: names, Transport: up, Product: "sluice/" + version.Sluice(),
		TrustedIPs: trusted, TrustUnix: slices.Contains(d.s.List("trusted_ips"), "unix:"), RealIPHeader: d.s.String("real_ip_header"), RealIPRecursive: d.s.Bool("real_ip_recursive"),
		Tracing: instruments(d.s.List("tracing_instrumentations")), TraceRate: d.s.Share("tracing_sampling_rate"),
		Headers: headers(d.s.List("headers")), UpstreamID: slices.Contains(d.s.List("headers_upstream"), "X-Kong-Request-Id"),
		RequestDebug: d.s.Bool("request_debug"), DebugToken: token,
		Ports: ports, AllowDebug: d.s.Bool("allow_debug_header"), ErrorType: form, Errors: templates, MaxBody: d.s.Size("nginx_http_client_max_body_size"),
		AccessLog: d.access, Counters: d.counters, Logger: d.log.Named("proxy"),
	})
	d.onClose(d.proxy.Close)
	return nil
}

func (d *DataPlane) openServer(prefix string) error {
	pairs, err := d.certificates(prefix)
	if err != nil {
		return err
	}
	terms, err := terms(d.s)
	if err != nil {
		return err
	}
	auth, authorities, err := clientAuth(d.s)
	if err != nil {
		return err
	}
	key, err := ticketKey(d.s)
	if err != nil {
		return err
	}
	var proxies []netip.Prefix
	if strings.EqualFold(d.s.String("real_ip_header"), "proxy_protocol") {
		if proxies, err = networks(d.s.List("trusted_ips")); err != nil {
			return err
		}
	}
	d.server, err = server.New(server.Options{
		Listeners: d.s.Listeners("proxy_listen"), Handler: d.proxy, Certificates: pairs,
		Handshake:      d.proxy.Handshake,
		Certificate:    func(hello *tls.ClientHelloInfo) *tls.Certificate { return d.plans.Current().Certificate(hello) },
		ProxiesTrusted: proxies, ClientAuth: auth, ClientCAs: authorities,
		MinTLS: terms.lowest, MaxTLS: terms.highest, Suites: terms.suites, NoTickets: d.s.String("ssl_session_tickets") == "off", MaxRequests: orNegative(d.s.Int("nginx_http_keepalive_requests")),
		TicketKey: key, SessionTimeout: d.s.Duration("ssl_session_timeout"),
		Logger: d.log.Named("server"),
	})
	if err != nil {
		return err
	}
	d.onClose(func() error {
		// Only a node that never ran has clients that were not drained.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = d.server.Shutdown(ctx)
		return nil
	})
	return nil
}

// orNegative turns the setting's 0, which switches off, into what switches off there.
func orNegative(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

func orForever(d time.Duration) time.Duration {
	if d == 0 {
		return 100 * 365 * 24 * time.Hour
	}
	return d
}

// errorTemplates reads the files that replace the bodies of errors.
func errorTemplates(s *settings.Settings) (*pdk.ErrorTemplates, error) {
	var out pdk.ErrorTemplates
	for name, form := range map[string]pdk.ErrorType{
		"error_template_html": pdk.ErrorHTML, "error_template_json": pdk.ErrorJSON, "error_template_xml": pdk.ErrorXML, "error_template_plain": pdk.ErrorText,
	} {
		path := s.Path(name)
		if path == "" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := out.Set(form, string(text)); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, path, err)
		}
	}
	return &out, nil
}

// debugToken is what clients on other machines have to show for X-Kong-Request-Debug: the
// setting, or one for this run that is left in the prefix for whoever may read there.
func (d *DataPlane) debugToken() (string, error) {
	if !d.s.Bool("request_debug") {
		return "", nil
	}
	if token := d.s.String("request_debug_token"); token != "" {
		return token, nil
	}
	token := rand.Text()
	if err := os.WriteFile(filepath.Join(d.s.Path("prefix"), ".request_debug_token"), []byte(token), 0o600); err != nil {
		return "", fmt.Errorf("request_debug_token: %w", err)
	}
	return token, nil
}

// portMaps reads pairs of the port that clients use and the one that listens.
func portMaps(list []string) (map[uint16]uint16, error) {
	out := make(map[uint16]uint16, len(list))
	for _, pair := range list {
		outside, inside, _ := strings.Cut(pair, ":")
		o, errO := strconv.ParseUint(outside, 10, 16)
		i, errI := strconv.ParseUint(inside, 10, 16)
		if errO != nil || errI != nil || o == 0 || i == 0 {
			return nil, fmt.Errorf("port_maps: %q is not two ports with a colon between them, such as 80:8000", pair)
		}
		if _, twice := out[uint16(i)]; twice {
			return nil, fmt.Errorf("port_maps: port %d is mapped twice", i)
		}
		out[uint16(i)] = uint16(o)
	}
	return out, nil
}

// networks reads the addresses of trusted_ips; "unix:" among them is no address.
func networks(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range list {
		if text == "unix:" {
			continue
		}
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p.Masked())
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("trusted_ips: %w", err)
		}
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out, nil
}

// instruments reads tracing_instrumentations.
func instruments(list []string) (on pdk.Instrument) {
	for _, name := range list {
		switch name {
		case "off":
			return 0
		case "all":
			on = ^pdk.Instrument(0)
		case "router":
			on |= pdk.TraceRouter
		case "balancer":
			on |= pdk.TraceBalancer
		case "dns_query":
			on |= pdk.TraceDNS
		case "plugin_rewrite":
			on |= pdk.TraceRewrite
		case "plugin_access":
			on |= pdk.TraceAccess
		case "plugin_header_filter":
			on |= pdk.TraceHeaderFilter
		default:
			on |= pdk.TraceRequest
		}
	}
	return on
}

// headers reads the setting of the same name.
func headers(list []string) proxy.Headers {
	var h proxy.Headers
	for _, name := range list {
		switch strings.ToLower(name) {
		case "off":
			return proxy.Headers{}
		case "server_tokens":
			h.Server, h.Via = true, true
		case "latency_tokens":
			h.ProxyLatency, h.UpstreamLatency, h.ResponseLatency = true, true, true
		case "server":
			h.Server = true
		case "via":
			h.Via = true
		case "x-kong-proxy-latency":
			h.ProxyLatency = true
		case "x-kong-upstream-latency":
			h.UpstreamLatency = true
		case "x-kong-response-latency":
			h.ResponseLatency = true
		case "x-kong-upstream-status":
			h.UpstreamStatus = true
		case "x-kong-request-id":
			h.RequestID = true
		case "x-sluice-revision":
			h.Revision = true
		}
	}
	return h
}

// certificates are those for names that no SNI has: ssl_cert, else one that is made
// once in the prefix.
func (d *DataPlane) certificates(prefix string) ([]tls.Certificate, error) {
	certs, err := d.s.PEMs("ssl_cert")
	if err != nil {
		return nil, err
	}
	keys, err := d.s.PEMs("ssl_cert_key")
	if err != nil {
		return nil, err
	}
	pairs, err := tlsutil.ServerPairs(certs, keys, filepath.Join(prefix, "ssl"), "default")
	if err != nil {
		return nil, fmt.Errorf("ssl_cert: %w", err)
	}
	return pairs, nil
}

// tlsVersions reads ssl_protocols.
func tlsVersions(text string) (lowest, highest uint16, err error) {
	known := map[string]uint16{"tlsv1.1": tls.VersionTLS11, "tlsv1.2": tls.VersionTLS12, "tlsv1.3": tls.VersionTLS13}
	for name := range strings.FieldsSeq(text) {
		v, ok := known[strings.ToLower(name)]
		if !ok {
			return 0, 0, fmt.Errorf("ssl_protocols: %q is not a version from TLSv1.1 to TLSv1.3", name)
		}
		if lowest == 0 || v < lowest {
			lowest = v
		}
		highest = max(highest, v)
	}
	if lowest == 0 {
		return 0, 0, errors.New("ssl_protocols: names no version")
	}
	return lowest, highest, nil
}

func (d *DataPlane) openStatus() error {
	d.status = status.New(status.Options{
		NodeID: d.id, Hostname: d.hostname, Version: version.Sluice(), Facts: d.facts, Targets: d.targets, Metrics: d.metrics,
		Names: d.names, Upstream: d.upstream,
	})
	for _, l := range d.s.Listeners("status_listen") {
		on, err := net.Listen(l.Network, l.Address)
		if err != nil {
			return fmt.Errorf("status_listen: %w", err)
		}
		d.onClose(func() error { _ = on.Close(); return nil })
		if l.TLS {
			pairs, err := d.certificates(d.s.Path("prefix"))
			if err != nil {
				return err
			}
			on = tls.NewListener(on, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: tlsutil.Chooser(pairs)})
		}
		d.statusOn = append(d.statusOn, on)
	}
	return nil
}

// facts for the status API.
func (d *DataPlane) facts() status.Facts {
	f, p := d.client.Facts(), d.plans.Current()
	counts := &d.proxy.Counts
	out := status.Facts{
		Position: f.Position, Head: f.Head, Source: f.Source, AppliedAt: f.AppliedAt,
		Connected: f.Connected, Behind: f.Behind, ControlError: f.ControlError, CacheError: f.CacheError,
		Refused: f.Refused, Reasons: f.Reasons, LeftOut: f.LeftOut, Integrity: integrity(&f.Integrity),
		Requests: counts.Requests.Load(), Active: counts.Active.Load(), Panics: counts.Panics.Load(),
		Connections: status.Connections(d.server.Connections()), Routes: p.Routes(), Entities: p.Entities(),
	}
	if f.Held != "" {
		out.ControlError = f.Held
	}
	out.CertificateExpires, out.CertificateError = d.link.certificate()
	if err := d.guard.Err(); err != nil && out.CacheError == "" {
		out.CacheError = err.Error()
	}
	return out
}

func integrity(i *controlclient.Integrity) status.Integrity {
	return status.Integrity{Passes: i.Passes, Found: i.Found, Repaired: i.Repaired, Last: i.Last, LastAt: i.LastAt}
}
