package entity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const parent = "00000006-0000-4000-8000-000000000001"

// rules are inputs with the message that they get, or the fields that they become.
func TestRules(t *testing.T) {
	kinds := entity.NewKinds(entity.Options{Plugins: func(name string) (*schema.Schema, bool) {
		return &schema.Schema{Name: name, Fields: []schema.Field{schema.NoConsumer(), schema.PluginConfig()}}, name == "known"
	}})
	upstream := schema.Object{"id": parent}
	certificate, key := keyPair(t, time.Hour, true)
	_, otherKey := keyPair(t, time.Hour, true)
	expired, _ := keyPair(t, -time.Hour, true)
	tests := []struct {
		name, kind string
		in         schema.Object
		stored     schema.Object
		message    string
		want       schema.Object
	}{
		{
			name: "url", kind: "services", in: schema.Object{"url": "https://u:p@[::1]:444/x?q#f"},
			want: schema.Object{"protocol": "https", "host": "::1", "port": int64(444), "path": "/x"},
		},
		{
			name: "url wins over port", kind: "services", in: schema.Object{"url": "http://h", "port": int64(81)},
			want: schema.Object{"host": "h", "port": int64(80), "path": nil},
		},
		{
			name: "url of a known scheme", kind: "services", in: schema.Object{"url": "grpcs://h:1"},
			want: schema.Object{"protocol": "grpcs", "port": int64(1)},
		},
		{name: "url with a bad port", kind: "services", in: schema.Object{"url": "http://h:x"}, message: "schema violation (port: expected an integer)"},
		{name: "host with port", kind: "services", in: schema.Object{"host": "h:1"}, message: "schema violation (host: must not have a port)"},

		{name: "target port", kind: "targets", in: schema.Object{"target": "1.2.3.4", "upstream": upstream}, want: schema.Object{"target": "1.2.3.4:8000", "weight": int64(100)}},
		{
			name: "target ipv6", kind: "targets", in: schema.Object{"target": "::1", "upstream": upstream},
			want: schema.Object{"target": "[0000:0000:0000:0000:0000:0000:0000:0001]:8000"},
		},
		{
			name: "target", kind: "targets", in: schema.Object{"target": "bad target", "upstream": upstream},
			message: "schema violation (target: Invalid target; not a valid hostname or ip address)",
		},
		{name: "target of none", kind: "targets", in: schema.Object{"target": "a"}, message: "schema violation (upstream: required field missing)"},

		{
			name: "patch to hashing", kind: "upstreams", in: schema.Object{"hash_on": "ip"}, stored: schema.Object{"id": parent, "name": "u", "algorithm": "least-connections", "hash_on": "none"},
			want: schema.Object{"algorithm": "consistent-hashing", "hash_on": "ip"},
		},
		{
			name: "patch to least connections", kind: "upstreams", in: schema.Object{"algorithm": "least-connections"}, stored: schema.Object{"id": parent, "name": "u", "algorithm": "consistent-hashing", "hash_on": "ip"},
			want: schema.Object{"algorithm": "least-connections", "hash_on": "none"},
		},
		{
			name: "hashing stays", kind: "upstreams", in: schema.Object{"slots": int64(20)}, stored: schema.Object{"id": parent, "name": "u", "algorithm": "consistent-hashing", "hash_on": "ip"},
			want: schema.Object{"algorithm": "consistent-hashing", "hash_on": "ip"},
		},

		{
			name: "sticky sessions", kind: "upstreams", in: schema.Object{"name": "u", "algorithm": "sticky-sessions", "sticky_sessions_cookie": "c", "hash_on": "ip"},
			want: schema.Object{"algorithm": "sticky-sessions", "hash_on": "none", "sticky_sessions_cookie": "c"},
		},
		{
			name: "sticky sessions without a cookie", kind: "upstreams", in: schema.Object{"name": "u", "algorithm": "sticky-sessions"},
			message: "schema violation (sticky_sessions_cookie: required field missing)",
		},
		{
			name: "a cookie for other algorithms", kind: "upstreams", in: schema.Object{"name": "u", "sticky_sessions_cookie": "c"},
			message: "schema violation (sticky_sessions_cookie: unknown field)",
		},
		{
			name: "no such algorithm", kind: "upstreams", in: schema.Object{"name": "u", "algorithm": "random"},
			message: "schema violation (algorithm: expected one of: consistent-hashing, least-connections, round-robin, latency)",
		},
		{
			name: "limits", kind: "upstreams", in: schema.Object{"name": "u", "limits": schema.Object{"max_pending": -1}},
			message: "schema violation (limits.max_pending: value should be between 0 and 2147483648)",
		},
		{
			name: "outlier detection", kind: "upstreams", in: schema.Object{"name": "u", "outlier_detection": schema.Object{"interval": 1.5}},
			want: schema.Object{"outlier_detection": schema.Object{
				"consecutive_errors": int64(5), "error_percent": int64(0), "min_requests": int64(20), "interval": 1.5,
				"ejection_time": int64(30), "max_ejection_time": int64(300), "max_ejected_percent": int64(50),
			}, "limits": nil},
		},

		{name: "sni", kind: "snis", in: schema.Object{"name": "1.2.3.4", "certificate": upstream}, message: "schema violation (name: must not be an IP)"},
		{name: "sni of none", kind: "snis", in: schema.Object{"name": "a"}, message: "schema violation (certificate: required field missing)"},

		{name: "vault", kind: "vaults", in: schema.Object{"name": "env", "prefix": "my-env", "config": schema.Object{"prefix": "KV_"}}, want: schema.Object{"config": schema.Object{"prefix": "KV_"}}},
		{name: "vault without config", kind: "vaults", in: schema.Object{"name": "env", "prefix": "my-env"}, want: schema.Object{"config": schema.Object{}}},
		{name: "unknown vault", kind: "vaults", in: schema.Object{"name": "nope", "prefix": "p2"}, message: "schema violation (name: vault 'nope' is not installed)"},
		{name: "vault prefix env", kind: "vaults", in: schema.Object{"name": "env", "prefix": "env"}, message: "schema violation (prefix: must not be one of: env)"},
		{name: "vault prefix", kind: "vaults", in: schema.Object{"name": "env", "prefix": "Bad Prefix"}, message: "schema violation (prefix: invalid value: Bad Prefix)"},
		{name: "vault config", kind: "vaults", in: schema.Object{"name": "env", "prefix": "p3", "config": schema.Object{"foo": int64(1)}}, message: "schema violation (config.foo: unknown field)"},

		{name: "jwk", kind: "keys", in: schema.Object{"kid": "a", "jwk": `{"kty":"OKP","kid":"a","crv":"Ed25519","x":"eHg"}`}, want: schema.Object{"kid": "a"}},
		{name: "jwk reference", kind: "keys", in: schema.Object{"kid": "a", "jwk": "{vault://env/x}"}, want: schema.Object{"kid": "a"}},
		{name: "jwk of another kid", kind: "keys", in: schema.Object{"kid": "a", "jwk": `{"kty":"oct","kid":"b","k":"x"}`}, message: "schema violation (kid in jwk.kid must be equal to keys.kid)"},
		{name: "jwk that is none", kind: "keys", in: schema.Object{"kid": "a", "jwk": `"kid":test`}, message: "schema violation (could not json decode jwk string)"},
		{name: "jwk without its key", kind: "keys", in: schema.Object{"kid": "a", "jwk": `{"kty":"RSA","kid":"a","e":"AQAB"}`}, message: "schema violation (could not load JWK, likely not a valid key)"},
		{name: "jwk of unknown type", kind: "keys", in: schema.Object{"kid": "a", "jwk": `{"kid":"a"}`}, message: "schema violation (could not load JWK, likely not a valid key)"},
		{name: "jwk of a secret", kind: "keys", in: schema.Object{"kid": "a", "jwk": `{"kty":"oct","kid":"a","k":"x"}`}, message: "schema violation (could not load JWK, likely not a valid key)"},
		{name: "jwk that is no base64", kind: "keys", in: schema.Object{"kid": "a", "jwk": `{"kty":"RSA","kid":"a","n":"*","e":"AQAB"}`}, message: "schema violation (could not load JWK, likely not a valid key)"},
		{name: "key of none", kind: "keys", in: schema.Object{"kid": "a"}, message: "schema violation (at least one of these fields must be non-empty: 'jwk', 'pem')"},
		{
			name: "both keys", kind: "keys", in: schema.Object{"kid": "a", "jwk": `{"kty":"OKP","kid":"a","crv":"Ed25519","x":"eHg"}`, "pem": schema.Object{"private_key": key}},
			message: "schema violation (only one or none of these fields must be set: 'jwk', 'pem')",
		},
		{name: "pem", kind: "keys", in: schema.Object{"kid": "a", "pem": schema.Object{"private_key": key, "public_key": public(t, key)}}, want: schema.Object{"kid": "a"}},
		{
			name: "pem of two keys", kind: "keys", in: schema.Object{"kid": "a", "pem": schema.Object{"private_key": key, "public_key": public(t, otherKey)}},
			message: "schema violation (pem: public key does not match private key)",
		},
		{name: "public pem", kind: "keys", in: schema.Object{"kid": "a", "pem": schema.Object{"public_key": "x"}}, message: "schema violation (pem: could not load public key)"},
		{name: "private pem", kind: "keys", in: schema.Object{"kid": "a", "pem": schema.Object{"private_key": "x"}}, message: "schema violation (pem: could not load private key)"},

		{name: "certificate", kind: "certificates", in: schema.Object{"cert": certificate, "key": key, "snis": []any{"a.example"}}, want: schema.Object{"snis": []any{"a.example"}}},
		{name: "certificate of another key", kind: "certificates", in: schema.Object{"cert": certificate, "key": otherKey}, message: "schema violation (certificate does not match key)"},
		{name: "certificate in a vault", kind: "certificates", in: schema.Object{"cert": "{vault://env/c}", "key": otherKey}, want: schema.Object{"cert": "{vault://env/c}"}},
		{
			name: "half a pair", kind: "certificates", in: schema.Object{"cert": certificate, "key": key, "cert_alt": certificate},
			message: "2 schema violations (all or none of these fields must be set: 'cert_alt', 'key_alt'; certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), the provided certificates were both of the same type)",
		},
		{name: "expired ca", kind: "ca_certificates", in: schema.Object{"cert": expired}, message: `schema violation (certificate expired, "Not After" time is in the past)`},

		{name: "workspace", kind: "workspaces", in: schema.Object{"name": "routes"}, message: "schema violation (name: must not be one of: workspaces, consumers, certificates, services, routes, snis, upstreams, targets, plugins, tags, ca_certificates, clustering_data_planes, parameters, vaults, key_sets, keys, filter_chains)"},
		{name: "a workspace's records", kind: "workspaces", in: schema.Object{"name": "default"}, want: schema.Object{"meta": schema.Object{}, "config": schema.Object{}}},

		{name: "plugin without config", kind: "plugins", in: schema.Object{"name": "known"}, want: schema.Object{"config": schema.Object{}}},
		{name: "plugin scope", kind: "plugins", in: schema.Object{"name": "known", "consumer": upstream}, message: "schema violation (consumer: value must be null)"},
		{name: "plugin name of a wrong type", kind: "plugins", in: schema.Object{"name": int64(5)}, message: "schema violation (name: plugin '5' not enabled; add it to the 'plugins' configuration property)"},

		{name: "passthrough", kind: "routes", in: schema.Object{"protocols": []any{"tls_passthrough"}}, message: "schema violation (must set snis when 'protocols' is 'tls_passthrough')"},
		{
			name: "http only", kind: "routes", in: schema.Object{"protocols": []any{"http"}, "snis": []any{"a"}},
			message: "3 schema violations ('snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'; must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'; snis: length must be 0)",
		},
		{name: "grpc", kind: "routes", in: schema.Object{"protocols": []any{"grpc"}, "paths": []any{"/"}, "strip_path": true}, message: "schema violation (strip_path: cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs')"},
		{name: "grpc methods", kind: "routes", in: schema.Object{"protocols": []any{"grpc"}, "paths": []any{"/"}, "methods": []any{"GET"}}, message: "schema violation (methods: cannot set 'methods' when 'protocols' is 'grpc' or 'grpcs')"},
		{name: "http sources", kind: "routes", in: schema.Object{"paths": []any{"/"}, "sources": []any{schema.Object{"port": int64(1)}}}, message: "schema violation (sources: cannot set 'sources' when 'protocols' is 'http' or 'https')"},
		{
			name: "empty source", kind: "routes", in: schema.Object{"protocols": []any{"tcp"}, "sources": []any{schema.Object{}}},
			message: "schema violation (sources.1: {\n  [\"@entity\"] = {\n    \"at least one of these fields must be non-empty: 'ip', 'port'\"\n  }\n})",
		},
		{name: "look-around", kind: "routes", in: schema.Object{"paths": []any{"~/a(?=b)"}}, want: schema.Object{"paths": []any{"~/a(?=b)"}}},
	}
	for _, tt := range tests {
		t.Run(tt.kind+"/"+tt.name, func(t *testing.T) {
			op := schema.Insert
			if tt.stored != nil {
				op = schema.Update
			}
			out, err := kinds.ByKind(tt.kind).Schema.Process(tt.in, op, tt.stored)
			if tt.message != "" {
				if err == nil || err.Error() != tt.message {
					t.Errorf("got %v\nwant %s", err, tt.message)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range tt.want {
				if diff := cmp.Diff(want, out[name]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

func TestExpressionIsCompiled(t *testing.T) {
	var seen []string
	s := entity.Routes(entity.Expressions, func(expression string, protocols []string) error {
		seen = append([]string{expression}, protocols...)
		if expression == "bad" {
			return errBad
		}
		return nil
	}).Schema
	if _, err := s.Process(schema.Object{"expression": "bad"}, schema.Insert, nil); err == nil ||
		err.Error() != "schema violation (Router Expression failed validation: so bad)" {
		t.Errorf("got %v", err)
	}
	if _, err := s.Process(schema.Object{"expression": "good", "protocols": []any{"grpc"}}, schema.Insert, nil); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"good", "grpc"}, seen); diff != "" {
		t.Error(diff)
	}
}

type badError struct{}

func (badError) Error() string { return "so bad" }

var errBad badError

func keyPair(t *testing.T, life time.Duration, ca bool) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a"}, IsCA: ca, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(life),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func public(t *testing.T, key string) string {
	t.Helper()
	private, err := schema.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// FuzzKinds: whatever JSON validates as an entity is encoded, read back equal, fits
// its struct and can be sent back as it was answered.
func FuzzKinds(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","url":"http://a:1/b","tags":["x"]}`, `{"paths":["/a","~/b(?<c>d)"],"headers":{"x":["1"]},"protocols":["grpc"]}`,
		`{"protocols":["tcp"],"sources":[{"ip":"::1","port":1}]}`, `{"name":"u","hash_on":"ip","healthchecks":{"active":{"headers":{"a":["b"]}}}}`,
		`{"username":"a","custom_id":"b"}`, `{"name":"env","prefix":"my-env","config":{"prefix":"a"}}`,
		`{"upstream":{"id":"00000006-0000-4000-8000-000000000001"},"target":"[::1]:80"}`, `{"kid":"a","jwk":"{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"x\"}"}`,
	} {
		f.Add(seed)
	}
	kinds := entity.NewKinds(entity.Options{}).All()
	f.Fuzz(func(t *testing.T, text string) {
		in, err := schema.DecodeObject([]byte(text))
		if err != nil {
			return
		}
		r := &replay{t: t}
		for _, d := range kinds {
			out, err := d.Schema.Process(in, schema.Insert, nil)
			if err != nil {
				if !strings.Contains(err.Error(), "schema violation") {
					t.Errorf("%s: %v", d.Kind(), err)
				}
				continue
			}
			r.roundTrip(d, out)
			if _, err := d.Schema.Process(d.Schema.Read(out), schema.Upsert, out); err != nil {
				t.Errorf("%s: %s: answer sent back: %v", d.Kind(), text, err)
			}
		}
	})
}
