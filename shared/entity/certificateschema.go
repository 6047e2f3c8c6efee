package entity

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Certificates is the kind "certificates": server and client certificates with
// their keys. Its transient field "snis" stands for rows of the kind "snis".
var Certificates = &Def{
	New: func() any { return new(Certificate) },
	Schema: &schema.Schema{
		Name:          "certificates",
		PrimaryKey:    []string{"id"},
		Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.UpdatedAt(),
			schema.Certificate().Named("cert").AsReferenceable().AsRequired(),
			schema.Key().Named("key").AsReferenceable().AsEncrypted().AsRequired(),
			schema.Certificate().Named("cert_alt").AsReferenceable().AsOptional(),
			schema.Key().Named("key_alt").AsReferenceable().AsEncrypted().AsOptional(),
			schema.Tags(),
			transientSNIs(),
		},
		Checks: []schema.EntityCheck{
			{MutuallyRequired: []string{"cert_alt", "key_alt"}},
			{Fields: []string{"cert", "key"}, FuncName: "key_pair", Func: keyPair("cert", "key", "certificate does not match key")},
			{
				Fields: []string{"cert_alt", "key_alt"}, FuncName: "key_pair",
				Func: keyPair("cert_alt", "key_alt", "alternative certificate does not match key"),
			},
			{Fields: []string{"cert", "cert_alt"}, FuncName: "different_types", Func: differentTypes},
		},
	},
}

func transientSNIs() schema.Field {
	f := schema.ArrayOf(schema.WildcardSNI()).Named("snis").AsOptional()
	f.Transient = true
	return f
}

func keyPair(cert, key, message string) func(schema.Object) error {
	return func(o schema.Object) error {
		c, _ := o[cert].(string)
		k, _ := o[key].(string)
		if c == "" || k == "" {
			return nil
		}
		list, err := schema.ParseCertificates(c)
		if err != nil {
			return err
		}
		private, err := schema.ParseKey(k)
		if err != nil {
			return err
		}
		if !schema.KeyMatches(list[0], private) {
			return errors.New(message)
		}
		return nil
	}
}

func differentTypes(o schema.Object) error {
	a, _ := o["cert"].(string)
	b, _ := o["cert_alt"].(string)
	if a == "" || b == "" {
		return nil
	}
	first, err := schema.ParseCertificates(a)
	if err != nil {
		return err
	}
	second, err := schema.ParseCertificates(b)
	if err != nil {
		return err
	}
	if first[0].PublicKeyAlgorithm == second[0].PublicKeyAlgorithm {
		return errors.New("certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), " +
			"the provided certificates were both of the same type")
	}
	return nil
}

// SNIs is the kind "snis": which certificate a server name gets.
var SNIs = &Def{
	New: func() any { return new(SNI) },
	Schema: &schema.Schema{
		Name:          "snis",
		PrimaryKey:    []string{"id"},
		EndpointKey:   "name",
		Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			uniqueEverywhere(schema.WildcardSNI().Named("name").AsRequired()),
			schema.CreatedAt(),
			schema.UpdatedAt(),
			schema.Tags(),
			// Kong's rows go with their certificate through its snis list.
			schema.ForeignTo("certificates", "").Named("certificate").AsRequired(),
		},
	},
}

func uniqueEverywhere(f schema.Field) schema.Field {
	f.Unique, f.UniqueAcrossWS = true, true
	return f
}

// CACertificates is the kind "ca_certificates": whom the gateway trusts.
var CACertificates = &Def{
	New: func() any { return new(CACertificate) },
	Schema: &schema.Schema{
		Name:       "ca_certificates",
		PrimaryKey: []string{"id"},
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.UpdatedAt(),
			schema.Certificate().Named("cert").AsRequired(),
			{Name: "cert_digest", Type: schema.String, Unique: true},
			schema.Tags(),
		},
		Checks: []schema.EntityCheck{{Fields: []string{"cert"}, FuncName: "ca_certificate", Func: checkCA}},
		Transform: func(o schema.Object) error {
			cert, _ := o["cert"].(string)
			list, err := schema.ParseCertificates(cert)
			if err != nil {
				return err
			}
			digest := sha256.Sum256(list[0].Raw)
			o["cert_digest"] = hex.EncodeToString(digest[:])
			return nil
		},
	},
}

func checkCA(o schema.Object) error {
	cert, _ := o["cert"].(string)
	list, err := schema.ParseCertificates(cert)
	switch {
	case err != nil:
		return err
	case len(list) > 1:
		return errors.New("please submit only one certificate at a time")
	case time.Now().After(list[0].NotAfter):
		return errors.New(`certificate expired, "Not After" time is in the past`)
	case !list[0].IsCA:
		return errors.New(`certificate does not appear to be a CA because it is missing the "CA" basic constraint`)
	}
	return nil
}
