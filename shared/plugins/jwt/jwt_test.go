package jwt_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/jwt"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

const bobID = "00000003-0000-4000-8000-000000000002"

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, jwt.Plugin.Schema, "plugins/jwt.json")
	schematest.AsRecorded(t, jwt.Credentials.Schema, "entities/jwt_secrets.json")
	schematest.Agrees(t, jwt.Credentials.Schema, jwt.Credential{})
}

func sign(t *testing.T, method gojwt.SigningMethod, key any, claims gojwt.MapClaims) string {
	t.Helper()
	text, err := gojwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAccess(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	consumer := schema.Object{"id": bobID}
	view := pdktest.NewView(
		pdktest.Of(t, entity.Consumers, schema.Object{"id": bobID, "username": "bob"}),
		pdktest.Of(t, jwt.Credentials, schema.Object{"key": "iss1", "secret": "s3cret", "consumer": consumer}),
		pdktest.Of(t, jwt.Credentials, schema.Object{"key": "ec", "algorithm": "ES256", "rsa_public_key": public, "consumer": consumer}),
	)
	hs := func(claims gojwt.MapClaims) string {
		return sign(t, gojwt.SigningMethodHS256, []byte("s3cret"), claims)
	}
	at := func(d time.Duration) int64 { return pdktest.Start.Add(d).Unix() }
	good := hs(gojwt.MapClaims{"iss": "iss1"})
	bearer := func(token string) [][2]string { return [][2]string{{"Authorization", "Bearer " + token}} }
	const invalid = `Bearer error="invalid_token"`
	for _, test := range []struct {
		name, config    string
		request         pdktest.Request
		status          int
		says, challenge string
	}{
		{"header", ``, pdktest.Request{Header: bearer(good)}, 200, "", ""},
		{"query", ``, pdktest.Request{Path: "/?jwt=" + good}, 200, "", ""},
		{"cookie", `{"cookie_names":["t"]}`, pdktest.Request{Header: [][2]string{{"Cookie", "a=b; t=" + good}}}, 200, "", ""},
		{"the same twice", ``, pdktest.Request{Path: "/?jwt=" + good, Header: bearer(good)}, 200, "", ""},
		{"EC", ``, pdktest.Request{Header: bearer(sign(t, gojwt.SigningMethodES256, private, gojwt.MapClaims{"iss": "ec"}))}, 200, "", ""},
		{"none", ``, pdktest.Request{}, 401, "Unauthorized", "Bearer"},
		{"two", ``, pdktest.Request{Path: "/?jwt=" + good, Header: bearer(hs(gojwt.MapClaims{"iss": "x"}))}, 401, "Multiple tokens provided", invalid},
		{"no token", ``, pdktest.Request{Header: bearer("abc")}, 401, "Bad token; invalid JSON", invalid},
		{"not signed", ``, pdktest.Request{Header: bearer(strings.TrimSuffix(sign(t, gojwt.SigningMethodNone, gojwt.UnsafeAllowNoneSignatureType, gojwt.MapClaims{"iss": "iss1"}), "") + "eA")}, 401, "Bad token; invalid alg", invalid},
		{"no issuer", ``, pdktest.Request{Header: bearer(hs(gojwt.MapClaims{}))}, 401, "No mandatory 'iss' in claims", invalid},
		{"wrong issuer", ``, pdktest.Request{Header: bearer(hs(gojwt.MapClaims{"iss": 7}))}, 401, "Invalid 'iss' in claims", invalid},
		{"unknown issuer", ``, pdktest.Request{Header: bearer(hs(gojwt.MapClaims{"iss": "who"}))}, 401, "No credentials found for given 'iss'", invalid},
		{"another algorithm", ``, pdktest.Request{Header: bearer(sign(t, gojwt.SigningMethodHS512, []byte("s3cret"), gojwt.MapClaims{"iss": "iss1"}))}, 401, "Invalid algorithm", invalid},
		{"public key as secret", ``, pdktest.Request{Header: bearer(sign(t, gojwt.SigningMethodHS256, []byte(public), gojwt.MapClaims{"iss": "ec"}))}, 401, "Invalid algorithm", invalid},
		{"another secret", ``, pdktest.Request{Header: bearer(sign(t, gojwt.SigningMethodHS256, []byte("x"), gojwt.MapClaims{"iss": "iss1"}))}, 401, "Invalid signature", invalid},
		{"expired", `{"claims_to_verify":["exp"]}`, pdktest.Request{Header: bearer(hs(gojwt.MapClaims{"iss": "iss1", "exp": at(-time.Second)}))}, 401, `{"exp":"token expired"}`, invalid},
		{"not expired", `{"claims_to_verify":["exp"]}`, pdktest.Request{Header: bearer(hs(gojwt.MapClaims{"iss": "iss1", "exp": at(time.Minute)}))}, 200, "", ""},
		{"not yet", `{"claims_to_verify":["nbf"]}`, pdktest.Request{Header: bearer(hs(gojwt.MapClaims{"iss": "iss1", "nbf": at(time.Minute)}))}, 401, `{"nbf":"token not valid yet"}`, invalid},
		{"no number", `{"claims_to_verify":["exp"]}`, pdktest.Request{Header: bearer(hs(gojwt.MapClaims{"iss": "iss1", "exp": "x"}))}, 401, `{"exp":"must be a number"}`, invalid},
		{"too long", `{"claims_to_verify":["exp"],"maximum_expiration":10}`, pdktest.Request{Header: bearer(hs(gojwt.MapClaims{"iss": "iss1", "exp": at(time.Minute)}))}, 401, `exceeds maximum allowed expiration`, invalid},
		{"other claim", `{"key_claim_name":"kid"}`, pdktest.Request{Header: bearer(hs(gojwt.MapClaims{"kid": "iss1"}))}, 200, "", ""},
		{"Base64", `{"secret_is_base64":true}`, pdktest.Request{Header: bearer(good)}, 401, "Invalid", invalid},
		{"preflight", `{"run_on_preflight":false}`, pdktest.Request{Method: "OPTIONS"}, 200, "", ""},
		{"realm of a bad token", `{"realm":"r"}`, pdktest.Request{Header: bearer("abc")}, 401, "Bad token; invalid JSON", `Bearer realm="r" error="invalid_token"`},
		{"two in the query", ``, pdktest.Request{Path: "/?jwt=a&jwt=b"}, 401, "Multiple tokens provided", invalid},
		{"the same twice", ``, pdktest.Request{Path: "/?jwt=a&jwt=a"}, 401, "Bad token; invalid JSON", invalid},
		{"without request id", ``, pdktest.Request{}, 401, `{"message":"Unauthorized"}`, "Bearer"},
		{"realm", `{"realm":"r"}`, pdktest.Request{}, 401, "Unauthorized", `Bearer realm="r"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: jwt.Plugin, Config: test.config, View: view})
			r := p.Do(test.request)
			if r.Err != nil || r.Status != test.status || !strings.Contains(r.Body, test.says) || r.Get("WWW-Authenticate") != test.challenge {
				t.Fatalf("got %d %s, challenge %q, %v", r.Status, r.Body, r.Get("WWW-Authenticate"), r.Err)
			}
			if test.status == 200 && test.request.Method == "" && r.Upstream.Get("X-Consumer-Username") != "bob" {
				t.Errorf("the upstream is told %q", r.Upstream.Get("X-Consumer-Username"))
			}
		})
	}
}
