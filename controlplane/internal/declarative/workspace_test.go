package declarative_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/declarative"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const grouped = `
_format_version: "3.0"
consumer_groups:
- name: gold
  tags: [t]
  plugins: [{name: rate-limiting, config: {minute: 9}}]
  consumers: [{username: luka}, ana]
- name: silver
consumers:
- username: luka
  groups: [{name: gold, tags: [t]}, {name: silver}]
- username: ana
- username: ida
  consumer_groups: [silver]
plugins:
- {name: rate-limiting, config: {minute: 1}}
- {name: rate-limiting, config: {minute: 2}, consumer_group: silver}
`

// pairs are the memberships of a result, by names.
func pairs(result schema.Object) map[string]bool {
	name := func(kind string, ref any) string {
		r, _ := ref.(schema.Object)
		id, _ := r["id"].(string)
		all, _ := result[kind].(schema.Object)
		o, _ := all[id].(schema.Object)
		for _, key := range []string{"name", "username"} {
			if text, ok := o[key].(string); ok {
				return text
			}
		}
		return "?"
	}
	out := map[string]bool{}
	members, _ := result["consumer_group_consumers"].(schema.Object)
	for _, m := range members {
		m, _ := m.(schema.Object)
		out[name("consumers", m["consumer"])+" in "+name("consumer_groups", m["consumer_group"])] = true
	}
	return out
}

func TestConsumerGroups(t *testing.T) {
	want := map[string]bool{"luka in gold": true, "ana in gold": true, "luka in silver": true, "ida in silver": true}
	for name, text := range map[string]string{
		"nested": grouped,
		"flat": `{"_format_version":"3.0","consumer_groups":[{"name":"gold"},{"name":"silver"}],"consumers":[{"username":"luka"},{"username":"ana"},{"username":"ida"}],
			"consumer_group_consumers":[{"consumer":"luka","consumer_group":"gold"},{"consumer":{"username":"ana"},"consumer_group":{"name":"gold"}},
			{"consumer":"luka","consumer_group":"silver"},{"consumer":"ida","consumer_group":"silver"}]}`,
		"by id": `{"_format_version":"3.0","consumer_groups":[{"name":"gold"},{"id":"5b0b9d83-3d75-4a12-9a8b-5b4c0f1a0a01","name":"silver"}],
			"consumers":[{"username":"luka","groups":["gold",{"id":"5b0b9d83-3d75-4a12-9a8b-5b4c0f1a0a01"}]},{"username":"ana","groups":["gold"]},{"username":"ida","groups":["silver"]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			result, err := w.load(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, pairs(result)); diff != "" {
				t.Error(diff)
			}
			before, err := w.store.Position()
			if err != nil {
				t.Fatal(err)
			}
			exported, err := w.Export(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			for _, again := range []string{text, exported} {
				if _, err := w.load(again); err != nil {
					t.Fatal(err)
				}
				if after, _ := w.store.Position(); after != before {
					t.Errorf("the same again is a change")
				}
			}
		})
	}
}

func TestConsumerGroupsRefused(t *testing.T) {
	for text, says := range map[string]string{
		`"consumers":[{"username":"u","groups":"gold"}]`:               "expected an array",
		`"consumers":[{"username":"u","groups":[{"tags":["t"]}]}]`:     "expected a name or an object with id or name",
		`"consumers":[{"username":"u","groups":["gold"]}]`:             "gold",
		`"consumer_groups":[{"name":"g","consumers":[7]}]`:             "expected a username or an object with id or username",
		`"consumer_groups":[{"name":"g","consumers":["nobody"]}]`:      "nobody",
		`"consumer_groups":[{"name":"g","plugins":[{"name":"cors"}]}]`: "value must be null",
		`"_workspace":7`:         "expected a string",
		`"_workspace":"schemas"`: "must not be a path of the Admin API",
	} {
		w := newWorld(t)
		before, _ := w.store.Position()
		_, err := w.load(`{"_format_version":"3.0",` + text + `}`)
		if _, ok := errors.AsType[*declarative.Error](err); !ok || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v does not say %s", text, err, says)
		}
		if after, _ := w.store.Position(); after != before {
			t.Errorf("%s: something has changed", text)
		}
	}
}

func TestWorkspaceOfADocument(t *testing.T) {
	w := newWorld(t)
	const team = `{"_format_version":"3.0","_workspace":"team","services":[{"name":"s","host":"team.example","routes":[{"name":"r","paths":["/"]}]}]}`
	const ours = `{"_format_version":"3.0","services":[{"name":"s","host":"ours.example"}]}`
	for _, text := range []string{team, ours, team, ours} {
		if _, err := w.load(text); err != nil {
			t.Fatal(err)
		}
	}
	if p, _ := w.store.Position(); p.Revision != 2 {
		t.Errorf("two documents made %d revisions", p.Revision)
	}
	names := func(workspace, host string) {
		t.Helper()
		id, _, err := w.c.Workspace(t.Context(), workspace)
		if err != nil {
			t.Fatal(err)
		}
		o, err := w.c.In(id).Get(t.Context(), w.kinds.ByKind("services"), catalog.Key{Value: "s"}, catalog.Scope{})
		if err != nil || o["host"] != host {
			t.Errorf("workspace %s has %v, %v", workspace, o, err)
		}
	}
	names("team", "team.example")
	names("default", "ours.example")

	text, err := w.Export(t.Context(), "team")
	if err != nil || !strings.Contains(text, "_workspace: team\n") || strings.Contains(text, "ours.example") {
		t.Errorf("exported %s, %v", text, err)
	}
	before, _ := w.store.Position()
	for _, workspace := range []string{"", "team"} {
		if _, _, err := w.Load(t.Context(), workspace, strings.NewReader(text), "", false); err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := w.store.Position(); after != before {
		t.Error("what was exported is another configuration")
	}
	if again, err := w.Export(t.Context(), "team"); err != nil || again != text {
		t.Errorf("exported again %s, %v", again, err)
	}
	if _, _, err := w.Load(t.Context(), "default", strings.NewReader(text), "", false); err == nil || !strings.Contains(err.Error(), `_workspace="expected default`) {
		t.Errorf("another workspace was asked for: %v", err)
	}
	if _, err := w.Export(t.Context(), "nobody"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// TestRefusedDocumentMakesNoWorkspace holds that a document that is refused leaves no
// trace.
func TestRefusedDocumentMakesNoWorkspace(t *testing.T) {
	w := newWorld(t)
	before, _ := w.store.Position()
	if _, err := w.load(`{"_format_version":"3.0","_workspace":"team","services":[{"name":"s"}]}`); err == nil {
		t.Fatal("a service without host")
	}
	if after, _ := w.store.Position(); after != before {
		t.Error("something has changed")
	}
	if _, _, err := w.c.Workspace(t.Context(), "team"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("the workspace is there: %v", err)
	}
}
