package plan

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Secrets finds secrets by reference, such as {vault://env/name}. It is safe for
// concurrent use.
type Secrets interface {
	// Use returns a secret, from memory or from its vault.
	Use(reference string) (string, error)
	// Configure sets the vaults entities, by prefix, and returns the prefixes that lead
	// elsewhere than before.
	Configure(vaults map[string]*entity.Vault) (changed map[string]bool)
	// Keep tells which references are used.
	Keep(references map[string]bool)
}

// sealed is an entity that refers to secrets, as it came. The tables have it with the
// secrets in place.
type sealed struct {
	change     config.Change
	references []string
	// missing are the references that could not be resolved: their fields are empty.
	missing []string
}

var sealMark = []byte("{vault://") //nolint:gochecknoglobals // a constant

// open puts secrets in the place of references. It returns nil for entities without.
func (n *building) open(def *entity.Def, c *config.Change) ([]byte, *sealed) {
	if n.b.options.Secrets == nil || !bytes.Contains(c.Body, sealMark) {
		return c.Body, nil
	}
	o, err := schema.DecodeObject(c.Body)
	if err != nil {
		return c.Body, nil // decode says what is wrong
	}
	s := &sealed{change: *c}
	def.Schema.ReplaceReferences(o, func(reference string) string {
		s.references = append(s.references, reference)
		value, err := n.b.options.Secrets.Use(reference)
		if err != nil {
			s.missing = append(s.missing, reference)
			n.b.log.Warn("secret can not be resolved, the field is empty", "kind", c.Kind, "id", c.ID, "reference", reference, "error", err)
			return ""
		}
		return value
	})
	if len(s.references) == 0 {
		return c.Body, nil
	}
	body, err := schema.EncodeJSON(o)
	if err != nil {
		return c.Body, nil
	}
	s.change.Body = bytes.Clone(c.Body)
	return body, s
}

// allSealed are the sealed entities of the new plan.
func (n *building) allSealed() map[string]*sealed {
	if len(n.from.sealed) == 0 && len(n.sealed) == 0 {
		return nil
	}
	all := maps.Clone(n.from.sealed)
	if all == nil {
		all = map[string]*sealed{}
	}
	for kind, changes := range n.changes {
		for _, c := range changes {
			delete(all, kind+"/"+c.id)
		}
	}
	maps.Copy(all, n.sealed)
	return all
}

// secretless tells whether an entity lacks secrets that it refers to.
func (p *Plan) secretless(kind, id string) bool {
	s := p.sealed[kind+"/"+id]
	return s != nil && len(s.missing) > 0
}

// withoutSecrets stands for a plugin whose config does not work without secrets that can
// not be resolved: its requests are answered with 500 until they can.
func withoutSecrets(p *pdk.Plugin, missing []string) *pdk.Plugin {
	stub := *p
	err := fmt.Errorf("secrets can not be resolved: %s", strings.Join(missing, ", "))
	stub.Build = func(pdk.Env, json.RawMessage) (pdk.Phases, error) {
		return pdk.Phases{Access: func(*pdk.Exchange) error { return err }}, nil
	}
	return &stub
}

// openVaults tells Secrets of vaults that come with the changes, and adds the entities
// whose references lead elsewhere now.
func (n *building) openVaults(changes []config.Change) []config.Change {
	if n.b.options.Secrets == nil {
		return changes
	}
	touched := n.whole
	for i := range changes {
		touched = touched || changes[i].Kind == entity.Vaults.Kind()
	}
	if !touched {
		return changes
	}
	vaults := vaultsOf(n.from)
	coming := map[string]bool{}
	for i := range changes {
		c := &changes[i]
		if !n.whole {
			coming[c.Kind+"/"+c.ID] = true
		}
		if c.Kind != entity.Vaults.Kind() {
			continue
		}
		for prefix, v := range vaults {
			if v.ID == c.ID {
				delete(vaults, prefix)
			}
		}
		if v := new(entity.Vault); c.Op == config.Put && json.Unmarshal(c.Body, v) == nil {
			vaults[v.Prefix] = v
		}
	}
	changed := n.b.options.Secrets.Configure(vaults)
	if n.whole || len(changed) == 0 {
		return changes
	}
	// The caller's slice stays as it is.
	changes = slices.Clone(changes)
	for key, s := range n.from.sealed {
		leads := slices.ContainsFunc(s.references, func(text string) bool {
			r, err := schema.ParseReference(text)
			return err == nil && changed[r.Vault]
		})
		if leads && !coming[key] {
			changes = append(changes, s.change)
		}
	}
	return changes
}

// closeVaults takes back what openVaults told.
func (n *building) closeVaults() {
	if n.b.options.Secrets != nil {
		n.b.options.Secrets.Configure(vaultsOf(n.old))
	}
}

func vaultsOf(p *Plan) map[string]*entity.Vault {
	vaults := map[string]*entity.Vault{}
	if t := p.tables[entity.Vaults.Kind()]; t != nil {
		t.byID.All(func(_ string, v any) bool {
			if e, ok := v.(*entity.Vault); ok {
				vaults[e.Prefix] = e
			}
			return true
		})
	}
	return vaults
}

// keepSecrets tells Secrets what the plan that serves now uses.
func (n *building) keepSecrets(p *Plan) {
	if n.b.options.Secrets == nil || len(p.sealed) == 0 && len(n.old.sealed) == 0 {
		return
	}
	used := map[string]bool{}
	for _, s := range p.sealed {
		for _, r := range s.references {
			used[r] = true
		}
	}
	n.b.options.Secrets.Keep(used)
}

// Refresh builds again what refers to secrets that have changed, and nothing else. When
// that does not work, with a key that is none for example, the plan before serves on.
func (b *Builder) Refresh(ctx context.Context, references map[string]bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.Current()
	var changes []config.Change
	for _, s := range p.sealed {
		if slices.ContainsFunc(s.references, func(r string) bool { return references[r] }) {
			changes = append(changes, s.change)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	slices.SortFunc(changes, func(a, b config.Change) int { return strings.Compare(a.Kind+a.ID, b.Kind+b.ID) })
	errs, err := b.apply(ctx, config.Update{From: p.Position, To: p.Position, Source: p.Source, Changes: changes})
	for _, e := range errs {
		b.log.Error("a changed secret does not work, the one before is used on", "entity", e.Error())
	}
	return err
}
