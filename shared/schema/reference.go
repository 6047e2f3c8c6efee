package schema

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Reference is a parsed reference to a secret:
// {vault://<vault>/<resource>[/<key>][?options][#version]}.
type Reference struct {
	// Vault is a kind of vault, such as env, or the prefix of a vaults entity.
	Vault string
	// Resource names the secret; Key a field of it when it is a JSON object. Path is both,
	// as they were written. A path that ends with "/" has no key.
	Resource, Key, Path string
	// Options are the query: they take the place of the vault's config.
	Options map[string]string
	// Version of the secret, 0 for the present one.
	Version int
}

// IsReference tells whether a string is a reference to a vault, which stands for a
// value that only the data plane knows.
func IsReference(s string) bool {
	return strings.HasPrefix(s, "{vault://") && strings.HasSuffix(s, "}")
}

// ParseReference reads a reference.
func ParseReference(s string) (r Reference, err error) {
	if !IsReference(s) {
		return r, fmt.Errorf("not a reference [%s]", s)
	}
	inner := s[1 : len(s)-1]
	u, err := url.Parse(inner)
	if err != nil {
		return r, fmt.Errorf("reference is not url [%s]", s)
	}
	switch {
	case u.Host == "":
		return r, fmt.Errorf("reference url is missing host [%s]", s)
	case u.Path == "":
		return r, fmt.Errorf("reference url is missing path [%s]", s)
	case u.Path == "/":
		return r, fmt.Errorf("reference url has empty path [%s]", s)
	}
	r.Vault = u.Host
	if _, fragment, has := strings.Cut(inner, "#"); has {
		if r.Version, err = strconv.Atoi(fragment); err != nil || r.Version < 0 {
			return r, fmt.Errorf("reference url has invalid version [%s]", s)
		}
	}
	var parts []string
	for part := range strings.SplitSeq(u.Path, "/") {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return r, fmt.Errorf("reference url has invalid path [%s]", s)
	}
	r.Path = strings.Join(parts, "/")
	r.Resource = r.Path
	if last := len(parts) - 1; last > 0 && !strings.HasSuffix(u.Path, "/") {
		r.Resource, r.Key = strings.Join(parts[:last], "/"), parts[last]
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return r, fmt.Errorf("reference url has invalid query [%s]", s)
	}
	for name, values := range query {
		if r.Options == nil {
			r.Options = map[string]string{}
		}
		r.Options[name] = values[0]
	}
	return r, nil
}

// checkReference is what a referenceable field complains about.
func checkReference(s string) any {
	if _, err := ParseReference(s); err != nil {
		return err.Error()
	}
	return nil
}

// ReplaceReferences calls replace for every reference in a field of o that may hold one,
// and puts what it returns in its place. o is changed.
func (s *Schema) ReplaceReferences(o Object, replace func(reference string) string) {
	fields := s.Fields
	if s.Subschema != nil {
		if name, ok := o[s.SubschemaKey].(string); ok {
			if sub, known := s.Subschema(name); known {
				fields = append(append([]Field(nil), fields...), sub.Fields...)
			}
		}
	}
	replaceFields(fields, o, replace)
}

func replaceFields(fields []Field, o Object, replace func(string) string) {
	for i := range fields {
		f := &fields[i]
		if v, ok := o[f.Name]; ok && v != nil && !f.Abstract {
			o[f.Name] = replaceIn(f, v, replace)
		}
	}
}

func replaceIn(f *Field, v any, replace func(string) string) any {
	switch v := v.(type) {
	case string:
		if f.Referenceable && IsReference(v) {
			return replace(v)
		}
	case Object:
		switch {
		case f.Type == Record:
			replaceFields(f.Fields, v, replace)
		case f.Values != nil:
			for key, e := range v {
				v[key] = replaceIn(f.Values, e, replace)
			}
		}
	case []any:
		if f.Elements != nil {
			for i, e := range v {
				v[i] = replaceIn(f.Elements, e, replace)
			}
		}
	}
	return v
}
