package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// kongPair writes a certificate as kong hybrid gen_cert makes one: a common name,
// and no subject alternative name.
func kongPair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kong_clustering"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	private8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"cluster.crt": {Type: "CERTIFICATE", Bytes: der}, "cluster.key": {Type: "PRIVATE KEY", Bytes: private8},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "cluster.crt"), filepath.Join(dir, "cluster.key")
}

// An existing hybrid deployment of Kong starts with its own environment and its own
// certificate.
func TestKongEnvironment(t *testing.T) {
	cert, key := kongPair(t)
	admin, stream, proxy, status := process.FreeAddress(), process.FreeAddress(), process.FreeAddress(), process.FreeAddress()
	dir := t.TempDir()
	control := &program{t: t, name: "sluice-controlplane", env: []string{
		"KONG_ROLE=control_plane", "KONG_DATABASE=postgres", "KONG_PG_HOST=db", "KONG_PG_PASSWORD=kong", "KONG_PREFIX=" + dir + "/cp",
		"KONG_ADMIN_LISTEN=" + admin, "KONG_CLUSTER_LISTEN=" + stream, "KONG_STATUS_LISTEN=off", "KONG_ADMIN_GUI_LISTEN=off",
		"KONG_CLUSTER_CERT=" + cert, "KONG_CLUSTER_CERT_KEY=" + key, "KONG_ADMIN_ACCESS_LOG=/dev/stdout", "KONG_LOG_LEVEL=info",
	}}
	control.start()
	api := &client{t: t, base: "http://" + admin}
	eventually(t, soon, func() error { return api.try("GET", "/", nil).is(200) }, control)
	if out := control.proc.Output(); !strings.Contains(out, "KONG_PG_HOST") {
		t.Errorf("no warning names the settings that mean nothing here:\n%s", out)
	}
	if out := control.proc.Output(); strings.Contains(out, "KONG_PG_PASSWORD=kong") {
		t.Errorf("the log shows a password:\n%s", out)
	}
	if got := api.get("/").text("configuration", "role"); got != "control_plane" {
		t.Errorf("configuration.role = %q", got)
	}
	data := &program{t: t, name: "sluice-dataplane", env: []string{
		"KONG_ROLE=data_plane", "KONG_DATABASE=off", "KONG_PREFIX=" + dir + "/dp", "KONG_PROXY_LISTEN=" + proxy, "KONG_STATUS_LISTEN=" + status,
		"KONG_CLUSTER_CONTROL_PLANE=" + stream, "KONG_CLUSTER_CERT=" + cert, "KONG_CLUSTER_CERT_KEY=" + key,
		"KONG_PROXY_ACCESS_LOG=/dev/stdout", "KONG_PROXY_ERROR_LOG=/dev/stderr", "KONG_LOG_LEVEL=debug",
	}}
	data.start()
	up := newEcho(t, "up")
	api.must("POST", "/services", form("name", "one", "url", up.URL), 201)
	api.must("POST", "/services/one/routes", form("paths[]", "/one"), 201)
	gateway := &client{t: t, base: "http://" + proxy}
	eventually(t, soon, func() error { return gateway.try("GET", "/one", nil).is(200) }, data, control)
	data.stop()
	control.stop()
}

// A file in kong.conf syntax, and what wins over it.
func TestSettingsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kong.conf")
	admin, ignored := process.FreeAddress(), process.FreeAddress()
	text := "# Kong's own file\nadmin_listen = " + ignored + "\nprefix = " + t.TempDir() + " # here\npg_host = db\nstatus_listen = off\ncluster_listen = " + process.FreeAddress() + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	control := &program{t: t, name: "sluice-controlplane", args: []string{"-c", file}, env: []string{"SLUICE_ADMIN_LISTEN=" + admin}}
	control.start()
	api := &client{t: t, base: "http://" + admin}
	eventually(t, soon, func() error { return api.try("GET", "/", nil).is(200) }, control)
	control.stop()
}

// What is misspelt or wrong stops the start with a sentence that helps.
func TestWrongSettings(t *testing.T) {
	for _, test := range []struct {
		name, program, env string
		args               []string
		want               string
	}{
		{"unknown variable", "sluice-controlplane", "SLUICE_ADMIN_LISTN=off", nil, "did you mean SLUICE_ADMIN_LISTEN?"},
		{"unknown variable", "sluice-dataplane", "SLUICE_PROXY_LISEN=off", nil, "did you mean SLUICE_PROXY_LISTEN?"},
		{"unknown flag", "sluice-dataplane", "", []string{"--proxy_lissten", "off"}, "did you mean proxy_listen?"},
		{"wrong value", "sluice-dataplane", "KONG_PROXY_LISTEN=8000", nil, "8000 is not of the form ip:port"},
		{"wrong value", "sluice-controlplane", "KONG_CLUSTER_MTLS=none", nil, "expected one of: shared, pki"},
		{"missing file", "sluice-controlplane", "", []string{"-c", "/not/there.conf"}, "/not/there.conf"},
		{"missing certificate", "sluice-dataplane", "", []string{"--cluster_cert", "/not/there.crt", "--cluster_cert_key", "/not/there.key"}, "/not/there"},
	} {
		t.Run(test.program+" "+test.name, func(t *testing.T) {
			p := &program{t: t, name: test.program, args: append([]string{"--prefix", t.TempDir()}, test.args...), env: []string{test.env}}
			if out := p.fails(); !strings.Contains(out, test.want) {
				t.Errorf("output lacks %q:\n%s", test.want, out)
			}
		})
	}
}

// --help and --version answer without starting anything.
func TestHelpAndVersion(t *testing.T) {
	for _, name := range []string{"sluice-controlplane", "sluice-dataplane"} {
		for flag, want := range map[string]string{"--help": "cluster_mtls", "--version": "."} {
			p := &program{t: t, name: name, args: []string{flag}}
			p.start()
			if code := p.proc.ExitCode(); code != 0 || !strings.Contains(p.proc.Output(), want) {
				t.Errorf("%s %s: exit code %d, output lacks %q:\n%s", name, flag, code, want, p.proc.Output())
			}
		}
	}
}

// A node with another cluster's certificate is not let in, and says so.
func TestForeignCertificate(t *testing.T) {
	c := newCluster(t, 1)
	cert, key := kongPair(t)
	stranger := c.newNode("--cluster_cert", cert, "--cluster_cert_key", key)
	stranger.start()
	eventually(t, soon, func() error {
		if out := stranger.proc.Output(); !strings.Contains(out, "certificate") {
			return fmt.Errorf("the log says nothing of the certificate:\n%s", out)
		}
		return nil
	}, stranger.program)
	if rows := c.listed(); len(rows) != 1 {
		t.Errorf("%d data planes are listed, want the one of this cluster: %v", len(rows), rows)
	}
	if r := stranger.status.try("GET", "/status/ready", nil); r.is(503) != nil {
		t.Error(r.is(503))
	}
	stranger.stop()
}
