package declarative_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/sluice-gateway/sluice/controlplane/internal/declarative"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// TestLargeDocuments reads documents in parts and as one piece, which must be the same.
func TestLargeDocuments(t *testing.T) {
	for name, text := range map[string]string{
		"indented lists": `_format_version: "3.0"
_transform: false
_comment: "a: b"
services:
  - name: one # a comment
    host: a.example
    # another
    routes:
      - name: r
        paths: [/a, "/b"]
  - host: b.example
    name: "two: - dash"
    tags:
    - x
consumers:
  - username: luka
    keyauth_credentials: [{key: k}]
`,
		"lists at the margin": `---
_format_version: '3.0'
services:
- name: one
  host: a.example
  path: >-
    /folded
    - text
  tags: ['a', "b"]
- {name: flow, host: b.example}
-
  name: below
  host: c.example
upstreams: []
plugins:
consumers:

- username: |
    several
    - lines
`,
		"anchors":                "_format_version: '3.0'\nservices:\n- &s {name: one, host: a}\nconsumers:\n- {username: a}\nupstreams: [{name: u, tags: &t [x]}, {name: v, tags: *t}]\n",
		"a quoted text of lines": "_format_version: '3.0'\nservices:\n- name: one\n  host: a\n  path: \"/x\\\n- y\"\n- name: two\n  host: b\n",
		"merge keys":             "_format_version: '3.0'\nx: &base {host: a}\nservices:\n- {<<: *base, name: one}\n",
		"quoted keys":            "\"_format_version\": '3.0'\n\"services\":\n- {name: one, host: a}\n",
		"lists in brackets":      "_format_version: '3.0'\nservices: [{name: one, host: a}]\nconsumers: [\n  {username: a}\n]\n",
		"a list that is none":    "_format_version: '3.0'\nservices:\n  name: one\n",
		"a text for a list":      "_format_version: '3.0'\nservices: one\n",
		"a key twice":            "_format_version: '3.0'\nservices:\n- {name: one, host: a}\nservices:\n- {name: two, host: a}\n",
		"two documents":          "_format_version: '3.0'\n---\nservices: []\n",
		"unknown":                "_format_version: '3.0'\ncolours:\n- red\n",
		"broken":                 "_format_version: '3.0'\nservices:\n- name: [\n- name: two\n",
		"windows lines":          "_format_version: '3.0'\r\nservices:\r\n- name: one\r\n  host: a\r\n",
		"configs at the end":     "services:\n- name: one\n  host: a\n  plugins:\n  - {name: rate-limiting, _config: c}\n_plugin_configs:\n  c: {minute: 5, policy: local}\n_format_version: '1.1'\n",
		"json":                   `{"_format_version":"3.0","services":[{"name":"one","host":"a","routes":[{"name":"r","paths":["/x"]}]},{"name":"two","host":"b"}],"consumers":[],"plugins":null}`,
		"json, upside down":      `{"services":[{"name":"one","host":"a","plugins":[{"name":"rate-limiting","_config":"c"}],"routes":[{"name":"r","paths":["/x(.*)"]}]}],"_plugin_configs":{"c":{"minute":5,"policy":"local"}},"_transform":true,"_format_version":2.1}`,
		"json, empty object":     `{"_format_version":"3.0","services":{}}`,
		"json, a text":           `{"_format_version":"3.0","services":"x"}`,
		"json, a text inside":    `{"_format_version":"3.0","services":["x"]}`,
		"json, unknown":          `{"_format_version":"3.0","colours":["x"]}`,
		"json, below config":     `{"config":"_format_version: '3.0'\nservices:\n- {name: one, host: a}\n"}`,
	} {
		t.Run(name, func(t *testing.T) {
			small, errSmall := newWorld(t).summary(text)
			declarative.TakeApart(t)
			large, errLarge := newWorld(t).summary(text)
			if (errSmall == nil) != (errLarge == nil) {
				t.Fatalf("as one piece: %v, in parts: %v", errSmall, errLarge)
			}
			if errSmall != nil && errSmall.Error() != errLarge.Error() {
				t.Errorf("as one piece: %v, in parts: %v", errSmall, errLarge)
			}
			if diff := cmp.Diff(small, large); diff != "" {
				t.Errorf("in parts (-one piece +parts):\n%s", diff)
			}
		})
	}
}

// summary loads a document into an empty store and returns what is there then.
func (w *world) summary(text string) (string, error) {
	if _, err := w.load(text); err != nil {
		return "", err
	}
	exported, err := w.Export(w.t.Context(), "")
	if err != nil {
		return "", err
	}
	var lines []string
	for line := range strings.SplitSeq(exported, "\n") {
		if field := strings.TrimLeft(line, " -"); !strings.HasPrefix(field, "created_at:") && !strings.HasPrefix(field, "updated_at:") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n"), nil
}

func TestLargeDocumentsThatAreBroken(t *testing.T) {
	declarative.TakeApart(t)
	for name, text := range map[string]string{
		"cut":             `{"_format_version":"3.0","services":[{"name":"one"`,
		"cut outside":     `{"_format_version":"3.0"`,
		"no comma":        `{"_format_version":"3.0" "services":[]}`,
		"something after": `{"_format_version":"3.0"} x`,
		"an object":       `{"_format_version":"3.0","services":{"a":1}}`,
	} {
		var refused *declarative.Error
		_, err := newWorld(t).load(text)
		if !errors.As(err, &refused) || !strings.Contains(fmt.Sprint(refused.Fields), "failed parsing declarative configuration: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What the reader says is not the document's fault.
	gone := errors.New("the client is gone")
	for _, start := range []string{"", `{"_format_version":"3.0",`, "_format_version: '3.0'\n"} {
		_, _, err := newWorld(t).Load(t.Context(), "", io.MultiReader(strings.NewReader(start), iotest.ErrReader(gone)), "", false)
		if !errors.Is(err, gone) {
			t.Errorf("after %d bytes: %v", len(start), err)
		}
	}
}

// TestLargeResults: what is written piece by piece is what would have been an object.
func TestLargeResults(t *testing.T) {
	w := newWorld(t)
	var b strings.Builder
	b.WriteString("_format_version: '3.0'\nupstreams:\n- name: u\nconsumers:\n")
	for i := range 5500 {
		fmt.Fprintf(&b, "- username: 'c\"%d'\n", i)
	}
	result, _, err := w.Load(t.Context(), "", strings.NewReader(b.String()), "", false)
	if err != nil {
		t.Fatal(err)
	}
	stream, ok := result.(interface{ WriteJSON(w io.Writer) error })
	if !ok {
		t.Fatalf("the result is a %T", result)
	}
	var text bytes.Buffer
	if err := stream.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var got map[string]map[string]map[string]any
	if err := json.Unmarshal(text.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got["consumers"]) != 5500 || len(got["upstreams"]) != 1 || len(got) != 2 {
		t.Errorf("%d consumers and %d upstreams", len(got["consumers"]), len(got["upstreams"]))
	}
	for id, o := range got["consumers"] {
		if o["id"] != id {
			t.Fatalf("%s has %v", id, o)
		}
	}
}

// TestWrittenYAML: anything that is written is read back by the library as it was.
func TestWrittenYAML(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	texts := []string{
		"", " ", "a", "true", "True", "NO", "on", "y", "null", "~", "1", "1.5", "1e3", "0x1f", "2026-01-01", "-", "- a", "a: b", "a #b", "#", "@x", "`", "%", "&a", "*a",
		"!t", "'", `"`, `\`, "a\nb", "a\tb", "a\r", "\x00", "\x7f", "\u0085", "\u00e9", "\u2028", "\ufeff", "\U0001f600", "{", "[", "/a/b", "a.b-c", "_x", "a ", " a", "<<", "=", "?", "|", ">",
		"-----BEGIN X-----\nabc\n-----END X-----\n", strings.Repeat("long ", 100),
	}
	var value func(depth int) any
	value = func(depth int) any {
		n := 7
		if depth > 3 {
			n = 5
		}
		switch random.IntN(n) {
		case 0:
			return nil
		case 1:
			return random.IntN(2) == 0
		case 2:
			return random.Int64N(1 << 40)
		case 3:
			return float64(random.IntN(1000)) + 0.25
		case 4:
			return texts[random.IntN(len(texts))]
		case 5:
			list := make([]any, random.IntN(4))
			for i := range list {
				list[i] = value(depth + 1)
			}
			return list
		default:
			o := schema.Object{}
			for range random.IntN(4) {
				o[texts[random.IntN(len(texts))]] = value(depth + 1)
			}
			return o
		}
	}
	for range 3000 {
		want := schema.Object{"a": value(0), "b": value(0)}
		text, err := declarative.WriteYAML(want)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := yaml.Unmarshal([]byte(text), &got); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if a, b := plainJSON(t, want), plainJSON(t, got); a != b {
			t.Fatalf("got %s, want %s, written as\n%s", b, a, text)
		}
		if again, _ := declarative.WriteYAML(want); again != text {
			t.Fatal("the same is written differently")
		}
	}
}

func plainJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestFlattenedReferences: an entity is shown with the ids that its document says, and
// with what of it has the right form.
func TestFlattenedReferences(t *testing.T) {
	const id = "00000001-0000-4000-8000-000000000001"
	_, _, err := newWorld(t).Load(t.Context(), "", strings.NewReader(`{"_format_version":"3.0",
		"services":[{"id":"`+id+`","name":"s","host":"h","routes":[{"name":"r","paths":["bad"]}]}],
		"routes":[{"id":"x","name":"","paths":["bad"],"tags":[1],"service":{"name":"s"}}],
		"consumers":[{"username":"u","custom_id":1}]}`), "", true)
	refused, ok := errors.AsType[*declarative.Error](err)
	if !ok {
		t.Fatal(err)
	}
	byPlace := map[string]map[string]any{}
	for _, e := range refused.Flattened {
		o, _ := e.(map[string]any)
		entity, _ := o["entity"].(map[string]any)
		byPlace[fmt.Sprint(o["entity_type"], entity["name"])] = o
	}
	nested, _ := byPlace["router"]["entity"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"id": id}, nested["service"]); diff != "" {
		t.Errorf("the service of a nested route: %s in %v", diff, byPlace)
	}
	bad := byPlace["route"]
	entity, _ := bad["entity"].(map[string]any)
	for _, name := range []string{"entity_name", "entity_id", "entity_tags"} {
		if _, has := bad[name]; has {
			t.Errorf("%s is %v", name, bad[name])
		}
	}
	if _, has := entity["service"]; has || entity["id"] != "x" {
		t.Errorf("the other route: %v", entity)
	}
	if _, has := byPlace["consumer<nil>"]["entity_name"]; has {
		t.Errorf("a consumer has a name: %v", byPlace["consumer<nil>"])
	}
}
