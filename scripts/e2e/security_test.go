package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// authority signs certificates of clients.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), name+".pem")}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) client(name string) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tool runs a command of the control plane and returns what it wrote.
func tool(t testing.TB, args ...string) (string, error) {
	t.Helper()
	dir, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(dir, "sluice-controlplane"), args...)
	command.Env = process.Environ()
	out, err := command.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// The Admin API with tokens: the first one is in the prefix, others are made by the API
// and the command line, roles limit what they are good for, and everything is recorded.
func TestAdminTokens(t *testing.T) {
	admin, status := process.FreeAddress(), process.FreeAddress()
	prefix := filepath.Join(t.TempDir(), "cp")
	args := []string{"--prefix", prefix, "--admin_listen", admin, "--cluster_listen", process.FreeAddress(), "--status_listen", status, "--enforce_rbac", "on"}
	early, err := tool(t, append(args, "admin-token", "create", "early", "role=editor")...)
	if err != nil || !strings.HasPrefix(early, "sluice_") {
		t.Fatalf("a token before the first start: %s %v", early, err)
	}
	control := &program{t: t, name: "sluice-controlplane", args: args}
	control.start()
	api := &client{t: t, base: "http://" + admin}
	eventually(t, soon, func() error { return api.try("GET", "/", nil).is(401) }, control)
	(&client{t: t, base: "http://" + status}).get("/status")

	text, err := os.ReadFile(filepath.Join(prefix, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(prefix, "admin.token")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of admin.token: %v %v", info.Mode(), err)
	}
	first := headers{"Kong-Admin-Token", strings.TrimSpace(string(text))}
	if r := api.must("GET", "/services", nil, 401); r.text("message") != "Invalid RBAC credentials" {
		t.Errorf("without a token: %s", r.body)
	}
	made := api.must("POST", "/admin-tokens", object{"name": "reader", "role": "read-only", "ttl": 3600}, 201, first)
	reader := headers{"Authorization", "Bearer " + made.text("token")}
	written := api.must("POST", "/services", object{"name": "one", "host": "h.example"}, 201, headers{"Kong-Admin-Token", early})
	api.get("/services/one", reader)
	if r := api.must("DELETE", "/services/one", nil, 403, reader); r.text("message") != "reader, you do not have permissions to delete this resource" {
		t.Errorf("refused: %s", r.body)
	}
	api.must("GET", "/audit/requests", nil, 403, reader)
	api.must("OPTIONS", "/services", nil, 204)

	// The command line asks the control plane that runs.
	ci, err := tool(t, append(args, "admin-token", "create", "ci", "role=editor", "expires=1h", "comment=pipeline")...)
	if err != nil || !strings.HasPrefix(ci, "sluice_") {
		t.Fatalf("a token while it runs: %s %v", ci, err)
	}
	api.get("/services", headers{"Kong-Admin-Token", ci})
	list, err := tool(t, append(args, "admin-token", "list")...)
	for _, name := range []string{"ci", "early", "first", "reader"} {
		if err != nil || !strings.Contains(list, name) || strings.Contains(list, ci) {
			t.Errorf("list: %v\n%s", err, list)
		}
	}
	if out, err := tool(t, append(args, "admin-token", "revoke", "ci")...); err != nil {
		t.Errorf("revoke: %s", out)
	}
	if out, err := tool(t, append(args, "admin-token", "revoke", "ci")...); err == nil {
		t.Errorf("revoked twice: %s", out)
	}
	if out, err := tool(t, append(args, "admin-token", "create", "x", "role=root")...); err == nil || !strings.Contains(out, "role: expected one of") {
		t.Errorf("a role that is not there: %s", out)
	}
	api.must("GET", "/services", nil, 401, headers{"Kong-Admin-Token", ci})

	// The log survives a restart, that of requests within a second of a crash.
	eventually(t, soon, func() error {
		r := api.get("/audit/requests?path=/services/one&status=403", first)
		if len(r.list("data")) != 1 {
			return fmt.Errorf("recorded are %s", r.body)
		}
		return nil
	}, control)
	control.stop()
	control.start()
	eventually(t, soon, func() error { return api.try("GET", "/", nil, first).is(200) }, control)
	objects := api.get("/audit/objects?dao_name=services", first).list("data")
	if len(objects) != 1 || objects[0]["rbac_user_name"] != "early" || objects[0]["operation"] != "create" ||
		objects[0]["client_ip"] != "127.0.0.1" || objects[0]["request_id"] != written.header.Get("X-Kong-Admin-Request-Id") {
		t.Errorf("changed objects: %v", objects)
	}
	if r := api.get("/audit/requests?status=403", first); len(r.list("data")) != 2 || r.list("data")[1]["rbac_user_name"] != "reader" {
		t.Errorf("refused requests: %s", r.body)
	}
	whole, err := os.ReadFile(filepath.Join(prefix, "sluice.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{early, ci, first[1], made.text("token")} {
		if bytes.Contains(whole, []byte(secret)) {
			t.Error("a token is in the store")
		}
	}
}

// The Admin API over TLS with certificates of clients, under nginx's names of the
// settings, together with tokens.
func TestAdminMutualTLS(t *testing.T) {
	ours, others := newAuthority(t, "ours"), newAuthority(t, "others")
	admin, prefix := process.FreeAddress(), filepath.Join(t.TempDir(), "cp")
	control := &program{t: t, name: "sluice-controlplane", args: []string{
		"--prefix", prefix, "--admin_listen", admin + " ssl", "--cluster_listen", process.FreeAddress(), "--status_listen", "off",
		"--nginx_admin_ssl_client_certificate", ours.file, "--nginx_admin_ssl_verify_client", "on", "--enforce_rbac", "on",
	}}
	control.start()
	ask := func(certificates []tls.Certificate, token string) (int, error) {
		transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, Certificates: certificates, //nolint:gosec // the server's certificate is not what is tested
		}}
		request, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+admin+"/consumers", strings.NewReader("username=bob"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Kong-Admin-Token", token)
		r, err := (&http.Client{Transport: transport, Timeout: soon}).Do(request)
		if err != nil {
			return 0, err
		}
		defer func() { _ = r.Body.Close() }()
		_, _ = io.Copy(io.Discard, r.Body)
		return r.StatusCode, nil
	}
	good := []tls.Certificate{ours.client("operator")}
	eventually(t, soon, func() error {
		_, err := ask(good, "")
		return err
	}, control)
	for name, certificates := range map[string][]tls.Certificate{"none": nil, "another authority's": {others.client("operator")}} {
		if code, err := ask(certificates, ""); err == nil {
			t.Errorf("certificate %s: %d", name, code)
		}
	}
	if code, err := ask(good, ""); code != 401 {
		t.Errorf("without a token: %d %v", code, err)
	}
	token, err := os.ReadFile(filepath.Join(prefix, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	if code, err := ask(good, strings.TrimSpace(string(token))); code != 201 {
		t.Errorf("with both: %d %v", code, err)
	}
	for want, bad := range map[string][]string{
		"no address of admin_listen has the flag ssl": {"--admin_listen", process.FreeAddress(), "--nginx_admin_ssl_verify_client", "on"},
		"must name the authorities":                   {"--admin_listen", process.FreeAddress() + " ssl", "--nginx_admin_ssl_verify_client", "on"},
		"expected one of: off, on, optional":          {"--nginx_admin_ssl_verify_client", "maybe"},
	} {
		args := append([]string{"--prefix", filepath.Join(t.TempDir(), "cp"), "--cluster_listen", process.FreeAddress(), "--status_listen", "off"}, bad...)
		if out, err := tool(t, args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %s %v", bad, out, err)
		}
	}
}
