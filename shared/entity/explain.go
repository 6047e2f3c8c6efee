package entity

import (
	"errors"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Explain refines the violation of an object whose references have no id: what they have
// instead is checked as members of the entity that they try to name. Other errors are
// returned as they are.
func (k *Kinds) Explain(def *Def, in schema.Object, err error) error {
	v, ok := errors.AsType[*schema.Violation](err)
	if !ok {
		return err
	}
	for i := range def.Schema.Fields {
		f := &def.Schema.Fields[i]
		if f.Type != schema.Foreign || v.Fields[f.Name] == nil {
			continue
		}
		ref, _ := in[f.Name].(schema.Object)
		target := k.ByKind(f.Reference)
		if _, given := ref["id"]; given || target == nil {
			continue
		}
		if _, named := v.Fields[f.Name].(schema.Object); !named {
			continue // such as a scope that the plugin must not have
		}
		if why := target.Schema.Partial(ref); why != nil {
			v.Fields[f.Name] = why
		}
	}
	return err
}
