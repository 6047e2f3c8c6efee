package entity

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Key is a typed keys entity: a public or private key, as JWK or PEM.
type Key struct {
	ID        string   `json:"id"`
	Set       *Ref     `json:"set"`
	Name      string   `json:"name"`
	KID       string   `json:"kid"`
	JWK       string   `json:"jwk"`
	PEM       *PEMPair `json:"pem"`
	Tags      []string `json:"tags"`
	CreatedAt int64    `json:"created_at"`
	UpdatedAt int64    `json:"updated_at"`
}

// PEMPair is a key in PEM form.
type PEMPair struct {
	PrivateKey string `json:"private_key"`
	PublicKey  string `json:"public_key"`
}

// KeySet is a typed key_sets entity: a named set of keys.
type KeySet struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Tags      []string `json:"tags"`
	CreatedAt int64    `json:"created_at"`
	UpdatedAt int64    `json:"updated_at"`
}

// KeySets is the kind "key_sets".
var KeySets = &Def{
	New: func() any { return new(KeySet) },
	Schema: &schema.Schema{
		Name:          "key_sets",
		PrimaryKey:    []string{"id"},
		EndpointKey:   "name",
		AdminName:     "key-sets",
		Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			{Name: "name", Type: schema.String, Unique: true, NotRequired: true},
			schema.Tags(),
			schema.CreatedAt(),
			schema.UpdatedAt(),
		},
	},
}

// Keys is the kind "keys".
var Keys = &Def{
	New: func() any { return new(Key) },
	Schema: &schema.Schema{
		Name:          "keys",
		PrimaryKey:    []string{"id"},
		EndpointKey:   "name",
		CacheKey:      []string{"kid", "set"},
		Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			schema.ForeignTo("key_sets", "cascade").Named("set").AsOptional(),
			{Name: "name", Type: schema.String, Unique: true, NotRequired: true},
			{Name: "kid", Type: schema.String, Required: true, NotUnique: true},
			{Name: "jwk", Type: schema.String, Referenceable: true, Encrypted: true},
			pemPair(),
			schema.Tags(),
			schema.CreatedAt(),
			schema.UpdatedAt(),
		},
		Checks: []schema.EntityCheck{
			{MutuallyExclusive: []string{"jwk", "pem"}},
			{AtLeastOneOf: []string{"jwk", "pem"}},
			{Fields: []string{"jwk", "pem", "kid"}, FuncName: "jwk", Func: checkJWK},
		},
	},
}

func pemPair() schema.Field {
	f := schema.RecordOf(
		schema.Field{Name: "private_key", Type: schema.String, NotRequired: true, Referenceable: true, Encrypted: true},
		schema.Field{Name: "public_key", Type: schema.String, NotRequired: true, Referenceable: true},
	).Named("pem").AsOptional()
	f.Checks = []schema.EntityCheck{{AtLeastOneOf: []string{"private_key", "public_key"}}}
	f.Check, f.CheckName = checkPEM, "pem"
	return f
}

// checkPEM checks that the keys can be read and belong together.
func checkPEM(v any) error {
	o, _ := v.(schema.Object)
	public, _ := o["public_key"].(string)
	private, _ := o["private_key"].(string)
	if schema.IsReference(public) || schema.IsReference(private) {
		return nil
	}
	var fromPublic, fromPrivate []byte
	if public != "" {
		block, _ := pem.Decode([]byte(public))
		if block == nil {
			return errors.New("could not load public key")
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			if key, err = x509.ParsePKCS1PublicKey(block.Bytes); err != nil {
				return errors.New("could not load public key")
			}
		}
		if fromPublic, err = x509.MarshalPKIXPublicKey(key); err != nil {
			return errors.New("could not load public key")
		}
	}
	if private != "" {
		key, err := schema.ParseKey(private)
		if err != nil {
			return errors.New("could not load private key")
		}
		if fromPrivate, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
			return errors.New("could not load private key")
		}
	}
	if fromPublic != nil && fromPrivate != nil && !bytes.Equal(fromPublic, fromPrivate) {
		return errors.New("public key does not match private key")
	}
	return nil
}

// checkJWK checks that a JWK can be read and has the kid of the entity.
func checkJWK(o schema.Object) error {
	text, _ := o["jwk"].(string)
	if text == "" {
		return nil
	}
	jwk, err := schema.DecodeObject([]byte(text))
	if err != nil {
		return errors.New("could not json decode jwk string")
	}
	if jwk["kid"] != o["kid"] {
		return errors.New("kid in jwk.kid must be equal to keys.kid")
	}
	return checkJWKMembers(jwk)
}

// errNotJWK is Kong's, which takes keys of these kinds only: a secret (oct) is none.
var errNotJWK = errors.New("could not load JWK, likely not a valid key") //nolint:gochecknoglobals // a constant

// checkJWKMembers checks that the members which make up the key are there.
func checkJWKMembers(jwk schema.Object) error {
	members := map[string][]string{"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}}
	kind, _ := jwk["kty"].(string)
	needed, known := members[kind]
	if !known {
		return errNotJWK
	}
	for _, name := range needed {
		s, _ := jwk[name].(string)
		if s == "" {
			return errNotJWK
		}
		if _, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "=")); err != nil && name != "crv" {
			return errNotJWK
		}
	}
	return nil
}
