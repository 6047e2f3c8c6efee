package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestClientCertificates holds the settings that Kong passes to nginx for certificates of
// clients, over HTTP/1.1 and HTTP/2, and that functions see the certificate.
func TestClientCertificates(t *testing.T) {
	c := newCluster(t, 0)
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	good, foreign := ours.client("luka"), others.client("eve")
	c.must("POST", "/routes", object{"name": "cert", "paths": []string{"/cert"}}, 201)
	c.must("POST", "/routes/cert/plugins", object{"name": "pre-function", "config": object{"access": []string{
		`local chain = kong.client.tls.get_full_client_certificate_chain() kong.response.exit(200, chain or "none")`,
	}}}, 201)
	for _, test := range []struct {
		verify string
		// what a client without certificate, with a good and with a foreign one gets: the
		// certificate's name, "none" or what it is told with 400.
		without, good, foreign string
	}{
		{"off", "none", "none", "none"},
		{"optional_no_ca", "none", "luka", "eve"},
		{"optional", "none", "luka", "The SSL certificate error"},
		{"on", "No required SSL certificate was sent", "luka", "The SSL certificate error"},
	} {
		n := c.newNode("--nginx_proxy_ssl_verify_client", test.verify, "--nginx_proxy_ssl_client_certificate", ours.file)
		n.start()
		n.ready()
		for _, h2 := range []bool{false, true} {
			for want, certificate := range map[*string]*tls.Certificate{&test.without: nil, &test.good: &good, &test.foreign: &foreign} {
				if got := shown(t, n, certificate, h2); got != *want {
					t.Errorf("%s, HTTP/2 %v: a client with %v got %q, want %q", test.verify, h2, certificate != nil, got, *want)
				}
			}
		}
		n.stop()
	}
	n := c.newNode("--nginx_proxy_ssl_verify_client", "on")
	if out := n.fails(); !strings.Contains(out, "nginx_proxy_ssl_client_certificate: is required") {
		t.Errorf("without authorities: %s", out)
	}
}

// shown calls with a certificate and returns the name in the one that arrived.
func shown(t *testing.T, n *node, certificate *tls.Certificate, h2 bool) string {
	t.Helper()
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the node's own certificate
	if certificate != nil {
		// Sent whatever authorities the server names.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	tr := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: h2}
	defer tr.CloseIdleConnections()
	r := (&client{t: t, base: "https://" + n.tls}).with(&http.Client{Transport: tr, Timeout: 20 * time.Second})
	switch {
	case r.err != nil:
		return r.err.Error()
	case r.status == 400:
		why, _, _ := strings.Cut(string(r.body), "\n")
		return why
	case string(r.body) == "none" || strings.Trim(string(r.body), `"`) == "none":
		return "none"
	}
	block, _ := pem.Decode(r.body)
	if block == nil {
		t.Fatalf("got %d %s", r.status, r.body)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return leaf.Subject.CommonName
}

// with calls /cert with another client.
func (c *client) with(h *http.Client) *response {
	resp, err := h.Get(c.base + "/cert")
	if err != nil {
		return &response{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return &response{err: err, status: resp.StatusCode, body: body}
}
