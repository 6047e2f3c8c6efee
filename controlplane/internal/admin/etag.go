package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

const (
	headerETag      = "ETag"
	headerMatch     = "If-Match"
	headerNoneMatch = "If-None-Match"
)

// etagOf returns the tag of a body: the same for equal content, whatever its encoding.
func etagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// entityTag returns the tag of an entity as answers show it. What counts down is no change.
func entityTag(o schema.Object) (string, error) {
	if o["ttl"] != nil {
		still := make(schema.Object, len(o))
		for name, v := range o {
			if name != "ttl" {
				still[name] = v
			}
		}
		o = still
	}
	body, err := encode(o)
	if err != nil {
		return "", err
	}
	return etagOf(body), nil
}

// etags is a list of entity tags as If-Match has it.
type etags struct {
	any  bool
	list []string // without the mark of weak ones
}

// parseTags reads If-Match and If-None-Match. The weak form of a tag stands for the same
// content here: our tags name content, and proxies that compress make them weak.
func parseTags(name, text string) (etags, error) {
	var out etags
	for rest := strings.TrimSpace(text); rest != ""; {
		if rest == "*" && out.list == nil {
			return etags{any: true}, nil
		}
		rest = strings.TrimPrefix(rest, "W/")
		end := strings.IndexByte(strings.TrimPrefix(rest, `"`), '"') + 2
		if rest == "" || rest[0] != '"' || end < 2 {
			return etags{}, refuse(http.StatusBadRequest, fmt.Sprintf("%s: %q is no list of entity tags, such as \"abc\", \"def\"", name, text))
		}
		out.list = append(out.list, rest[:end])
		rest = strings.TrimLeft(rest[end:], " \t")
		if rest != "" && rest[0] != ',' {
			return etags{}, refuse(http.StatusBadRequest, fmt.Sprintf("%s: %q is no list of entity tags, such as \"abc\", \"def\"", name, text))
		}
		rest = strings.TrimLeft(rest, ", \t")
	}
	return out, nil
}

func (t etags) has(tag string) bool {
	return t.any || slices.Contains(t.list, tag)
}

// precondition returns what If-Match and If-None-Match ask of the entity that is written,
// nil when they ask nothing.
func (c *call) precondition() (func(now schema.Object) error, error) {
	match, noneMatch := c.r.Header.Values(headerMatch), c.r.Header.Values(headerNoneMatch)
	if len(match) == 0 && len(noneMatch) == 0 {
		return nil, nil //nolint:nilnil // nothing is asked
	}
	wanted, err := parseTags(headerMatch, strings.Join(match, ","))
	if err != nil {
		return nil, err
	}
	unwanted, err := parseTags(headerNoneMatch, strings.Join(noneMatch, ","))
	if err != nil {
		return nil, err
	}
	return func(now schema.Object) error {
		if now == nil {
			if len(match) > 0 {
				return refuse(http.StatusPreconditionFailed, headerMatch+": there is no such entity")
			}
			return nil
		}
		tag, err := entityTag(now)
		if err != nil {
			return err
		}
		why := ""
		switch {
		case len(match) > 0 && !wanted.has(tag):
			why = headerMatch + ": the entity is another one by now, its " + headerETag + " is " + tag
		case len(noneMatch) > 0 && unwanted.has(tag):
			why = headerNoneMatch + ": the entity is there, its " + headerETag + " is " + tag
		default:
			return nil
		}
		failed := message(http.StatusPreconditionFailed, why)
		failed.header = [][2]string{{headerETag, tag}}
		return refusal{failed}
	}, nil
}

// unchanged tells whether a reader has that content already.
func unchanged(r *http.Request, tag string) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	known := r.Header.Values(headerNoneMatch)
	if len(known) == 0 {
		return false
	}
	list, err := parseTags(headerNoneMatch, strings.Join(known, ","))
	return err == nil && list.has(tag)
}
