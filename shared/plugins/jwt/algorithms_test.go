package jwt_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/jwt"
	"github.com/sluice-gateway/sluice/shared/schema"
)

func publicPEM(t *testing.T, key any) string {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b}))
}

// All algorithms that a credential may have, with a good signature, another key's and one
// that was changed.
func TestAlgorithms(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	otherRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, otherEd, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	type pair struct{ key, other any }
	pairs := map[string]pair{
		"HS256": {[]byte("s3cret"), []byte("x")}, "HS384": {[]byte("s3cret"), []byte("x")}, "HS512": {[]byte("s3cret"), []byte("x")},
		"RS256": {rsaKey, otherRSA}, "RS384": {rsaKey, otherRSA}, "RS512": {rsaKey, otherRSA},
		"PS256": {rsaKey, otherRSA}, "PS384": {rsaKey, otherRSA}, "PS512": {rsaKey, otherRSA},
		"ES256": {ec(elliptic.P256()), ec(elliptic.P256())}, "ES384": {ec(elliptic.P384()), ec(elliptic.P384())}, "ES512": {ec(elliptic.P521()), ec(elliptic.P521())},
		"EdDSA": {edKey, otherEd},
	}
	consumer := schema.Object{"id": "00000000-0000-4000-8000-0000000000b0"}
	entities := []pdktest.Entity{pdktest.Of(t, entity.Consumers, schema.Object{"id": consumer["id"], "username": "bob"})}
	for name, p := range pairs {
		o := schema.Object{"key": name, "algorithm": name, "consumer": consumer}
		if signer, ok := p.key.(crypto.Signer); ok {
			o["rsa_public_key"] = publicPEM(t, signer.Public())
		} else {
			o["secret"] = "s3cret"
		}
		entities = append(entities, pdktest.Of(t, jwt.Credentials, o))
	}
	// A certificate is a public key, too.
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, edPublic, edKey)
	if err != nil {
		t.Fatal(err)
	}
	entities = append(entities,
		pdktest.Of(t, jwt.Credentials, schema.Object{
			"key": "certificate", "algorithm": "EdDSA", "consumer": consumer,
			"rsa_public_key": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		}),
		pdktest.Of(t, jwt.Credentials, schema.Object{"key": "mixed", "algorithm": "RS256", "consumer": consumer, "rsa_public_key": publicPEM(t, edPublic)}),
		pdktest.Of(t, jwt.Credentials, schema.Object{"key": "base64", "consumer": consumer, "secret": base64.URLEncoding.EncodeToString([]byte("s3cret"))}),
	)
	view := pdktest.NewView(entities...)
	check := func(config, token string, status int, says string) {
		t.Helper()
		p := pdktest.Build(t, pdktest.Options{Plugin: jwt.Plugin, Config: config, View: view})
		for range 2 { // the second time the key is known
			r := p.Do(pdktest.Request{Header: [][2]string{{"Authorization", "Bearer " + token}}})
			if r.Err != nil || r.Status != status || !strings.Contains(r.Body, says) {
				t.Errorf("%.60s: %d %s %v, want %d %s", token, r.Status, r.Body, r.Err, status, says)
			}
		}
	}
	for name, p := range pairs {
		method := gojwt.GetSigningMethod(name)
		good := sign(t, method, p.key, gojwt.MapClaims{"iss": name})
		check("", good, 200, "")
		check("", sign(t, method, p.other, gojwt.MapClaims{"iss": name}), 401, "Invalid signature")
		head, rest, _ := strings.Cut(good, ".")
		_, signature, _ := strings.Cut(rest, ".")
		claims := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"` + name + `","admin":true}`))
		check("", head+"."+claims+"."+signature, 401, "Invalid signature")
		check("", head+"."+claims+".", 401, "Invalid signature")
		check("", head+"."+claims+"."+signature+".x", 401, "Bad token; invalid signature")
	}
	check("", sign(t, gojwt.SigningMethodEdDSA, edKey, gojwt.MapClaims{"iss": "certificate"}), 200, "")
	check("", sign(t, gojwt.SigningMethodRS256, rsaKey, gojwt.MapClaims{"iss": "mixed"}), 401, "Invalid key/secret")
	check(`{"secret_is_base64":true}`, sign(t, gojwt.SigningMethodHS256, []byte("s3cret"), gojwt.MapClaims{"iss": "base64"}), 200, "")
}
