package plan_test

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/dataplane/internal/pluginhost"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// safe is a plan.Secrets with what it is given.
type safe struct {
	mu     sync.Mutex
	values map[string]string
	vaults map[string]string // prefix to name
	kept   map[string]bool
}

func (s *safe) Use(reference string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.values[reference]; ok {
		return v, nil
	}
	return "", errors.New("no value found")
}

func (s *safe) Configure(vaults map[string]*entity.Vault) map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, now := map[string]bool{}, map[string]string{}
	for prefix, v := range vaults {
		now[prefix] = v.Name
	}
	for prefix, name := range now {
		changed[prefix] = s.vaults[prefix] != name
	}
	maps.DeleteFunc(changed, func(_ string, v bool) bool { return !v })
	s.vaults = now
	return changed
}

func (s *safe) Keep(references map[string]bool) { s.kept = references }

// secretRoom is a builder with a plugin that says what its config is.
func secretRoom(t *testing.T, s *safe) (b *plan.Builder, built *[]string) {
	built = new([]string)
	p := &pdk.Plugin{
		Name: "teller",
		Schema: &schema.Schema{Name: "teller", Fields: []schema.Field{
			schema.ProtocolsHTTP(),
			schema.PluginConfig(schema.Field{Name: "secret", Type: schema.String, Referenceable: true}, schema.Field{Name: "open", Type: schema.String}),
		}},
		Build: func(_ pdk.Env, raw json.RawMessage) (pdk.Phases, error) {
			var c struct{ Secret, Open string }
			if err := json.Unmarshal(raw, &c); err != nil {
				return pdk.Phases{}, err
			}
			if c.Secret == "" || c.Secret == "bad" {
				return pdk.Phases{}, errors.New("the secret does not work")
			}
			*built = append(*built, c.Open+":"+c.Secret)
			return pdk.Phases{Access: func(*pdk.Exchange) error { return nil }}, nil
		},
	}
	registry := plugins.NewRegistry([]*pdk.Plugin{p})
	host := pluginhost.New(pluginhost.Options{})
	names := balancer.New(balancer.Options{})
	t.Cleanup(func() {
		names.Close()
		if err := host.Close(); err != nil {
			t.Error(err)
		}
	})
	return plan.New(plan.Options{
		Kinds: entity.NewKinds(entity.Options{Plugins: registry.Schema}), Host: host, Balancer: names, Secrets: s,
		Plugin: func(name string) (*pdk.Plugin, bool) { p := registry.ByName(name); return p, p != nil },
	}), built
}

func TestSecrets(t *testing.T) {
	const one, two = "{vault://env/one}", "{vault://my/two}"
	s := &safe{values: map[string]string{one: "s1"}}
	b, built := secretRoom(t, s)
	apply := func(changes ...config.Change) ([]config.EntityError, error) {
		t.Helper()
		return b.Apply(t.Context(), config.Update{Changes: changes})
	}
	must := func(want string, changes ...config.Change) {
		t.Helper()
		*built = nil
		if errs, err := apply(changes...); err != nil {
			t.Fatal(err, errs)
		}
		if got := strings.Join(*built, " "); got != want {
			t.Errorf("built %q, want %q", got, want)
		}
	}
	refresh := func(want string, references ...string) error {
		t.Helper()
		*built = nil
		set := map[string]bool{}
		for _, r := range references {
			set[r] = true
		}
		err := b.Refresh(t.Context(), set)
		if got := strings.Join(*built, " "); got != want {
			t.Errorf("built %q, want %q", got, want)
		}
		return err
	}
	teller := func(id, secret string) config.Change {
		return put("plugins", id, object{"name": "teller", "config": object{"secret": secret, "open": "{vault://env/one}" + id}})
	}
	must("{vault://env/one}a:s1", teller("a", one))
	must("{vault://env/one}b:plain", teller("b", "plain"))

	// A secret that is not there: its plugin fails, the rest goes on.
	must("", teller("c", two))
	if !s.kept[one] || !s.kept[two] {
		t.Errorf("kept %v", s.kept)
	}
	// Its vault comes, and with it the secret: only what refers to it is built.
	s.values[two] = "s2"
	must("{vault://env/one}c:s2", put("vaults", "v", object{"prefix": "my", "name": "env", "config": object{}}))

	// Rotation builds what refers to the secret, and nothing else.
	s.values[one] = "s1b"
	if err := refresh("{vault://env/one}a:s1b", one); err != nil {
		t.Error(err)
	}
	if err := refresh("", "{vault://env/other}"); err != nil {
		t.Error(err)
	}
	// One that does not work leaves the plan as it is.
	s.values[one] = "bad"
	before := b.Current()
	if err := refresh("", one); !errors.Is(err, config.ErrRefused) || b.Current() != before {
		t.Errorf("got %v", err)
	}
	// One that is gone: the plugin fails.
	delete(s.values, one)
	if err := refresh("", one); err != nil {
		t.Error(err)
	}
	// A removed entity is no longer sealed.
	if errs, err := apply(remove("plugins", "a"), remove("plugins", "c")); err != nil {
		t.Fatal(err, errs)
	}
	if len(s.kept) != 0 {
		t.Errorf("kept %v", s.kept)
	}
}

func TestPluginWithoutItsSecretAnswers500(t *testing.T) {
	s := &safe{values: map[string]string{}}
	b, _ := secretRoom(t, s)
	_, err := b.Apply(t.Context(), config.Update{Changes: []config.Change{
		put("plugins", "a", object{"name": "teller", "config": object{"secret": "{vault://env/none}"}}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	inst := b.Current().Global.Steps[0].For(nil, nil)
	if fault := inst.Phases.Access(new(pdk.Exchange)); fault == nil || !strings.Contains(fault.Error(), "{vault://env/none}") {
		t.Errorf("got %v", fault)
	}
}

func TestCertificateWithoutItsSecret(t *testing.T) {
	s := &safe{values: map[string]string{}}
	b, _ := secretRoom(t, s)
	_, err := b.Apply(t.Context(), config.Update{Changes: []config.Change{
		put("certificates", "c", object{"cert": "{vault://env/cert}", "key": "{vault://env/key}"}),
		put("snis", "s", object{"name": "a.test", "certificate": ref("c")}),
	}})
	if err != nil {
		t.Errorf("a missing certificate refuses the configuration: %v", err)
	}
}
