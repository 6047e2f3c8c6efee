package declarative

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// maxNodes bounds what a document may become when its aliases are followed.
const maxNodes = 20_000_000

// parse reads a document. JSON is tried first where it looks like it, because it is many
// times as fast.
func parse(document []byte) (schema.Object, error) {
	text := bytes.TrimSpace(document)
	if len(text) > 0 && text[0] == '{' {
		if o, err := schema.DecodeObject(text); err == nil {
			return o, nil
		}
	}
	v, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	o, ok := v.(schema.Object)
	if !ok {
		return nil, errNoObject
	}
	return o, nil
}

// parseYAML reads any YAML but none.
func parseYAML(text []byte) (any, error) {
	if v, ok := plainYAML(text); ok {
		return v, nil
	}
	return parseAnyYAML(text)
}

// parseAnyYAML asks the library.
func parseAnyYAML(text []byte) (any, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if root.Kind == 0 {
		return nil, errNoObject
	}
	r := reader{left: maxNodes}
	return r.value(root.Content[0])
}

// reader turns nodes into what JSON would have been decoded to.
type reader struct {
	left  int
	depth int
}

const maxDepth = 100

func (r *reader) value(n *yaml.Node) (any, error) {
	if r.left--; r.left < 0 {
		return nil, errors.New("too large when its aliases are followed")
	}
	if r.depth++; r.depth > maxDepth {
		return nil, fmt.Errorf("%d:%d: nested too deeply", n.Line, n.Column)
	}
	defer func() { r.depth-- }()
	switch n.Kind {
	case yaml.AliasNode:
		return r.value(n.Alias)
	case yaml.MappingNode:
		return r.mapping(n)
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, e := range n.Content {
			var err error
			if out[i], err = r.value(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case yaml.ScalarNode:
		return scalar(n)
	default:
		return nil, fmt.Errorf("%d:%d: unexpected content", n.Line, n.Column)
	}
}

func (r *reader) mapping(n *yaml.Node) (any, error) {
	out := make(schema.Object, len(n.Content)/2)
	var merged []schema.Object
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		v, err := r.value(n.Content[i+1])
		if err != nil {
			return nil, err
		}
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("%d:%d: a key is not a word", key.Line, key.Column)
		}
		if key.Tag == "!!merge" {
			switch v := v.(type) {
			case schema.Object:
				merged = append(merged, v)
			case []any:
				for _, e := range v {
					if o, ok := e.(schema.Object); ok {
						merged = append(merged, o)
					}
				}
			}
			continue
		}
		if _, twice := out[key.Value]; twice {
			return nil, fmt.Errorf("%d:%d: key %q is there twice", key.Line, key.Column, key.Value)
		}
		out[key.Value] = v
	}
	for _, m := range merged {
		for k, v := range m {
			if _, given := out[k]; !given {
				out[k] = v
			}
		}
	}
	return out, nil
}

func scalar(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return nil, fmt.Errorf("%d:%d: %w", n.Line, n.Column, err)
		}
		return b, nil
	case "!!int":
		if i, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 0, 64); err == nil {
			return i, nil
		}
		fallthrough
	case "!!float":
		var f float64
		if err := n.Decode(&f); err != nil {
			return nil, fmt.Errorf("%d:%d: %w", n.Line, n.Column, err)
		}
		if math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, fmt.Errorf("%d:%d: number is not finite", n.Line, n.Column)
		}
		return f, nil
	default:
		return n.Value, nil
	}
}
