package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blang/semver/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/kong/go-database-reconciler/pkg/diff"
	"github.com/kong/go-database-reconciler/pkg/dump"
	"github.com/kong/go-database-reconciler/pkg/file"
	"github.com/kong/go-database-reconciler/pkg/state"
	"github.com/kong/go-kong/kong"
)

// deck is the engine of decK, against the Admin API of a control plane.
type deck struct {
	t      *testing.T
	client *kong.Client
	config dump.Config
}

func newDeck(t *testing.T, base string, tags ...string) *deck {
	t.Helper()
	client, err := kong.NewClient(&base, &http.Client{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return &deck{t: t, client: client, config: dump.Config{SelectorTags: tags}}
}

func (d *deck) context() context.Context { return d.t.Context() }

// current is what the control plane has.
func (d *deck) current() *state.KongState {
	d.t.Helper()
	raw, err := dump.Get(d.context(), d.client, d.config)
	if err != nil {
		d.t.Fatalf("dump: %v", err)
	}
	s, err := state.Get(raw)
	if err != nil {
		d.t.Fatalf("build the current state: %v", err)
	}
	return s
}

// target is what a file declares.
func (d *deck) target(content string, current *state.KongState) *state.KongState {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), "kong.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
	declared, err := file.GetContentFromFiles([]string{path}, false)
	if err != nil {
		d.t.Fatalf("read the file: %v", err)
	}
	raw, err := file.Get(d.context(), declared, file.RenderConfig{CurrentState: current, KongVersion: semver.MustParse("3.9.3")}, d.config, d.client)
	if err != nil {
		d.t.Fatalf("render the file: %v", err)
	}
	s, err := state.Get(raw)
	if err != nil {
		d.t.Fatalf("build the target state: %v", err)
	}
	return s
}

// counts are how many entities a sync made, changed and deleted.
type counts struct{ Created, Updated, Deleted int32 }

// sync makes the control plane have what a file declares.
func (d *deck) sync(content string) counts {
	d.t.Helper()
	current := d.current()
	syncer, err := diff.NewSyncer(diff.SyncerOpts{
		CurrentState: current, TargetState: d.target(content, current), KongClient: d.client, SilenceWarnings: true,
		CreatePrintln: d.t.Log, UpdatePrintln: d.t.Log, DeletePrintln: d.t.Log,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	stats, errs, _ := syncer.Solve(d.context(), 10, false, false)
	for _, err := range errs {
		d.t.Errorf("sync: %v", err)
	}
	return counts{stats.CreateOps.Count(), stats.UpdateOps.Count(), stats.DeleteOps.Count()}
}

// dump is the file that declares what the control plane has.
func (d *deck) dump() string {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), "dump.yaml")
	if err := file.KongStateToFile(d.current(), file.WriteConfig{
		Filename: path, FileFormat: file.YAML, KongVersion: "3.9.3", SelectTags: d.config.SelectorTags,
	}); err != nil {
		d.t.Fatalf("write the dump: %v", err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}

// pair makes a certificate and its key, indented for YAML.
func pair(t *testing.T, name string, ca bool) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: ca, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return strings.ReplaceAll(strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))), "\n", "\n    ")
	}
	return text("CERTIFICATE", der), text("PRIVATE KEY", keyDER)
}

// everything declares every kind of entity that there is.
const everything = `
_format_version: "3.0"
services:
- name: one
  url: https://one.example:8443/base
  retries: 3
  tags: [a]
  tls_verify: true
  ca_certificates: [00000001-0000-4000-8000-000000000001]
  client_certificate: 00000001-0000-4000-8000-000000000002
  routes:
  - name: one-a
    paths: [/a, ~/re/\d+$]
    hosts: ["*.example.com"]
    headers: {x-version: ["1", "2"]}
    methods: [GET, POST]
    tags: [a]
    plugins:
    - name: request-transformer
      config: {add: {headers: ["x-a:b"]}}
  - name: one-tls
    protocols: [tls]
    snis: [tls.example.com]
  plugins:
  - name: rate-limiting
    instance_name: limits
    config: {minute: 5, policy: local}
- name: two
  host: up
  port: 80
  enabled: false
routes:
- name: alone
  paths: [/alone]
  strip_path: false
  https_redirect_status_code: 301
consumers:
- username: luka
  custom_id: "17"
  tags: [a]
  keyauth_credentials:
  - key: luka-key
    tags: [a]
  basicauth_credentials:
  - {username: luka, password: secret}
  hmacauth_credentials:
  - {username: luka, secret: secret}
  jwt_secrets:
  - {key: luka, secret: secret, algorithm: HS256}
  acls:
  - group: admins
  oauth2_credentials:
  - {name: app, client_id: app-id, client_secret: app-secret, redirect_uris: ["https://app.example/"], client_type: confidential, hash_secret: false}
  groups:
  - name: gold
  plugins:
  - name: request-termination
    config: {status_code: 403}
consumer_groups:
- name: gold
  tags: [a]
  plugins:
  - name: rate-limiting
    config: {minute: 50, policy: local}
plugins:
- name: key-auth
  config: {key_names: [apikey]}
  tags: [a]
- name: cors
  enabled: false
  protocols: [http]
upstreams:
- name: up
  algorithm: consistent-hashing
  hash_on: header
  hash_on_header: x-user
  healthchecks:
    active: {healthy: {interval: 5, successes: 2}, http_path: /health}
    passive: {unhealthy: {http_failures: 3}}
  targets:
  - {target: "10.0.0.1:8000", weight: 10}
  - {target: "10.0.0.2:8000"}
certificates:
- id: 00000001-0000-4000-8000-000000000002
  cert: |-
    CERT
  key: |-
    KEY
  snis:
  - name: one.example
  - name: two.example
ca_certificates:
- id: 00000001-0000-4000-8000-000000000001
  cert: |-
    AUTHORITY
vaults:
- name: env
  prefix: my-env
  description: secrets
  config: {prefix: KONG_}
key_sets:
- name: set
keys:
- name: key
  kid: kid-1
  set: {name: set}
  jwk: '{"kty":"OKP","kid":"kid-1","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'
`

// TestDeck drives a control plane as decK does: sync, an empty second sync, dump, sync of
// the dump, selection by tags, reset.
func TestDeck(t *testing.T) {
	c := newCluster(t, 0)
	cert, key := pair(t, "one.example", false)
	authority, _ := pair(t, "authority", true)
	content := strings.NewReplacer("CERT", cert, "KEY", key, "AUTHORITY", authority).Replace(everything)

	d := newDeck(t, c.base)
	first := d.sync(content)
	if first.Created < 30 || first.Updated+first.Deleted > 0 {
		t.Errorf("the first sync: %+v", first)
	}
	if again := d.sync(content); again != (counts{}) {
		t.Errorf("the second sync is not empty: %+v", again)
	}
	dumped := d.dump()
	for _, text := range []string{"name: one-tls", "custom_id: \"17\"", "instance_name: limits", "group: admins", "prefix: my-env", "10.0.0.2:8000", "two.example", "kid-1", "gold", "app-id"} {
		if !strings.Contains(dumped, text) {
			t.Errorf("the dump has no %s", text)
		}
	}
	if again := d.sync(dumped); again != (counts{}) {
		t.Errorf("a sync of the dump is not empty: %+v", again)
	}
	if diff := cmp.Diff(dumped, d.dump()); diff != "" {
		t.Errorf("the dump changes (-before +after):\n%s", diff)
	}
	changed := strings.NewReplacer("retries: 3", "retries: 4", "minute: 5,", "minute: 6,", "weight: 10", "weight: 20", "- group: admins", "- group: others").Replace(content)
	if got := d.sync(changed); got != (counts{Created: 1, Updated: 3, Deleted: 1}) {
		t.Errorf("a sync of changes: %+v", got)
	}

	tagged := newDeck(t, c.base, "team")
	if got := tagged.sync("_format_version: \"3.0\"\nservices:\n- name: tagged\n  host: h\n  tags: [team]\n  routes:\n  - name: tagged\n    paths: [/t]\n    tags: [team]\n"); got != (counts{Created: 2}) {
		t.Errorf("a sync of what is tagged: %+v", got)
	}
	if dump := tagged.dump(); !strings.Contains(dump, "name: tagged") || strings.Contains(dump, "name: one") {
		t.Errorf("the dump of what is tagged: %s", dump)
	}
	if got := tagged.sync("_format_version: \"3.0\"\n"); got != (counts{Deleted: 2}) {
		t.Errorf("a reset of what is tagged: %+v", got)
	}
	if got := d.sync(changed); got != (counts{}) {
		t.Errorf("what is tagged took others along: %+v", got)
	}
	if got := d.sync("_format_version: \"3.0\"\n"); got.Deleted < 25 || got.Created+got.Updated > 0 {
		t.Errorf("the reset: %+v", got)
	}
	for _, path := range []string{"/services", "/routes", "/consumers", "/plugins", "/upstreams", "/certificates", "/snis", "/ca_certificates", "/vaults", "/keys", "/key-sets", "/key-auths", "/consumer_groups"} {
		if rows := c.get(path).list("data"); len(rows) > 0 {
			t.Errorf("the reset left %s: %v", path, rows)
		}
	}
}
