package audit

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Masked stands for a secret.
const Masked = "******"

// secretParts are what names of secret fields have in them; publicNames are not secret
// although they do.
var (
	secretParts = []string{"password", "secret", "token", "private", "hash", "api_key", "apikey", "auth_value", "header_value", "param_value"}
	publicNames = []string{
		"hash_on", "hash_fallback", "hash_secret", "hash_subject", "token_expiration", "refresh_token_ttl", "hide_credentials",
		"reuse_refresh_token", "secret_is_base64", "key_claim_name", "token_type",
	}
	// secretKeys are kinds whose field "key" is a secret.
	secretKeys = []string{"keyauth_credentials", "certificates"}
)

// secretName tells by its name whether a field of a kind is a secret.
func secretName(kind, name string) bool {
	if slices.Contains(publicNames, name) || strings.HasPrefix(name, "hash_on") || strings.HasPrefix(name, "hash_fallback") {
		return false
	}
	if name == "key" || name == "key_alt" {
		return slices.Contains(secretKeys, kind) || kind == "plugins"
	}
	return slices.ContainsFunc(secretParts, func(part string) bool { return strings.Contains(name, part) })
}

// Mask returns an object of a kind without its secrets, and the paths of those.
func Mask(kinds *entity.Kinds, kind string, o schema.Object) (schema.Object, []string) {
	m := masking{kind: kind}
	var fields []schema.Field
	if def := kinds.ByKind(kind); def != nil {
		fields = def.Schema.Fields
		if name, ok := o[def.Schema.SubschemaKey].(string); ok && def.Schema.Subschema != nil {
			if sub, ok := def.Schema.Subschema(name); ok {
				fields = slices.Concat(sub.Fields, fields)
			}
		}
	}
	return m.record("", fields, o), m.removed
}

type masking struct {
	kind    string
	removed []string
}

// record masks the fields of a record. Fields that the schema does not know are judged by
// their names.
func (m *masking) record(path string, fields []schema.Field, o schema.Object) schema.Object {
	out := make(schema.Object, len(o))
	for _, name := range sorted(o) {
		var f *schema.Field
		for i := range fields {
			if fields[i].Name == name {
				f = &fields[i]
				break
			}
		}
		out[name] = m.value(join(path, name), name, f, o[name])
	}
	return out
}

func (m *masking) value(path, name string, f *schema.Field, v any) any {
	secret := secretName(m.kind, name) || f != nil && f.Encrypted
	switch v := v.(type) {
	case string:
		if !secret || v == "" || strings.HasPrefix(v, "{vault://") {
			return v
		}
		m.removed = append(m.removed, path)
		return Masked
	case schema.Object:
		if f == nil {
			return m.record(path, nil, v)
		}
		if f.Values != nil { // a map: its keys are no fields
			out := make(schema.Object, len(v))
			for _, k := range sorted(v) {
				under := name
				if !secret {
					under = strings.ToLower(k)
				}
				out[k] = m.value(join(path, k), under, f.Values, v[k])
			}
			return out
		}
		return m.record(path, f.Fields, v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			var elements *schema.Field
			if f != nil {
				elements = f.Elements
			}
			out[i] = m.value(join(path, strconv.Itoa(i+1)), name, elements, e)
		}
		return out
	}
	return v
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func sorted(o schema.Object) []string {
	out := make([]string, 0, len(o))
	for name := range o {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
