package catalog

import (
	"bytes"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// named lists the fields in which a part of a name is looked for: the one by which the
// Admin API finds an entity, and its name.
func (k *kind) named() []string {
	var out []string
	for _, name := range []string{k.schema.EndpointKey, "name"} {
		f := k.schema.Field(name)
		if name != "" && f != nil && f.Type == schema.String && (len(out) == 0 || out[0] != name) {
			out = append(out, name)
		}
	}
	return out
}

// nameContains tells whether one of the names of an entity has a part, in any case.
func (k *kind) nameContains(o schema.Object, part string) bool {
	for _, name := range k.named() {
		if value, _ := o[name].(string); containsFold(value, part) {
			return true
		}
	}
	return false
}

func containsFold(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// idsContaining returns up to limit ids behind after, of those whose name may have a part.
// It looks at the bodies as they are stored, which costs a small part of decoding them:
// what it passes is compared for good afterwards.
func (k *kind) idsContaining(tx store.Tx, part, after string, limit int) ([]string, error) {
	var keys [][]byte
	for _, name := range k.named() {
		keys = append(keys, []byte(`"`+name+`":"`))
	}
	lower := strings.ToLower(part)
	var ids []string
	err := tx.List(k.name, after, everything, func(id string, body []byte) bool {
		for _, key := range keys {
			if bodyContains(body, key, lower) {
				ids = append(ids, id)
				break
			}
		}
		return len(ids) < limit
	})
	return ids, err
}

// bodyContains looks for a lower-case part in the texts that follow a key. A text with an
// escape passes: only decoding tells what it says.
func bodyContains(body, key []byte, lower string) bool {
	for {
		i := bytes.Index(body, key)
		if i < 0 {
			return false
		}
		body = body[i+len(key):]
		end := bytes.IndexByte(body, '"')
		if end < 0 {
			return false
		}
		value := body[:end]
		if bytes.IndexByte(value, '\\') >= 0 || containsFold(string(value), lower) {
			return true
		}
		body = body[end:]
	}
}
