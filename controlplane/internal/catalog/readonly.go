package catalog

import (
	"context"
	"fmt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// ReadOnly returns an API whose entities can't be written one by one, as Kong's when it
// has no database: what is wrong with an entity is still said first. Replace works.
func ReadOnly(api API) API { return readOnly{api} }

type readOnly struct{ API }

// In implements API.
func (r readOnly) In(workspace string) API { return readOnly{r.API.In(workspace)} }

// DeleteWorkspace implements API.
func (r readOnly) DeleteWorkspace(_ context.Context, key Key, _ bool) (Written, error) {
	return Written{}, unsupported("remove", entity.Workspaces, key)
}

func unsupported(what string, def *entity.Def, key Key) error {
	by := ""
	if key.ID == "" && def.Schema.EndpointKey != "" {
		by = " by '" + def.Schema.EndpointKey + "'"
	}
	return &Error{
		CodeUnsupported, "operation unsupported",
		fmt.Sprintf("cannot %s '%s' entities%s when not using a database", what, def.Kind(), by), nil,
	}
}

// Insert implements API.
func (r readOnly) Insert(_ context.Context, def *entity.Def, in schema.Object) (Written, error) {
	if err := r.Validate(def, in); err != nil {
		return Written{}, err
	}
	return Written{}, unsupported("create", def, Key{ID: "any"})
}

// Update implements API.
func (r readOnly) Update(_ context.Context, def *entity.Def, key Key, _ Scope, _ schema.Object) (Written, error) {
	return Written{}, unsupported("update", def, key)
}

// Upsert implements API. What is written while the gateway runs and is in no document,
// such as marks of targets, is no part of what the document decides.
func (r readOnly) Upsert(ctx context.Context, def *entity.Def, key Key, scope Scope, in schema.Object) (Written, error) {
	if def.Schema.Runtime && def.Schema.NotExported {
		return r.API.Upsert(ctx, def, key, scope, in)
	}
	return Written{}, unsupported("create or update", def, key)
}

// Delete implements API.
func (r readOnly) Delete(_ context.Context, def *entity.Def, key Key, _ Scope) (Written, error) {
	return Written{}, unsupported("remove", def, key)
}

// Restore implements API.
func (r readOnly) Restore(context.Context, string, func(store.Tx) ([]Restored, error)) (store.Position, int, error) {
	return store.Position{}, 0, &Error{CodeUnsupported, "operation unsupported", "cannot restore entities when not using a database", nil}
}

// DeleteAll implements API.
func (r readOnly) DeleteAll(_ context.Context, def *entity.Def, _ Scope) (Written, error) {
	return Written{}, unsupported("remove", def, Key{ID: "any"})
}
