package catalog

import (
	"context"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Key finds one entity: by primary key when ID is set, else by the endpoint key.
type Key struct {
	ID string
	// Value of the schema's EndpointKey.
	Value string
}

// Scope limits an operation to the entities whose foreign field refers to a parent,
// as in /services/{id}/routes. The zero value limits nothing.
type Scope struct {
	Field    string // such as "service"
	ParentID string
}

// Page is one page of a list.
type Page struct {
	Entities []schema.Object
	// Next is the opaque offset of the next page, "" for the last.
	Next string
}

// ListOptions select and page.
type ListOptions struct {
	Scope  Scope
	Size   int    // 1..1000, 0 means 100
	Offset string // as from Page.Next
	Tags   []string
	// AnyTag makes Tags alternatives.
	AnyTag bool
}

// Written is the result of a write.
type Written struct {
	Entity schema.Object
	// Before is the stored entity before the write, nil when there was none.
	Before   schema.Object
	Position store.Position
}

// API is what the Admin API needs of a Catalog. Results are complete objects, nulls
// included, processed for reading. Errors: *schema.Violation, *Error, ErrNotFound.
type API interface {
	Insert(ctx context.Context, def *entity.Def, in schema.Object) (Written, error)
	Get(ctx context.Context, def *entity.Def, key Key, scope Scope) (schema.Object, error)
	List(ctx context.Context, def *entity.Def, o ListOptions) (Page, error)
	// Update merges in into the stored entity.
	Update(ctx context.Context, def *entity.Def, key Key, scope Scope, in schema.Object) (Written, error)
	// Upsert replaces the entity, or makes it with that key.
	Upsert(ctx context.Context, def *entity.Def, key Key, scope Scope, in schema.Object) (Written, error)
	// Delete removes an entity; deleting what is not there is no error.
	Delete(ctx context.Context, def *entity.Def, key Key, scope Scope) (Written, error)
	// Validate checks without storing and without looking at references.
	Validate(def *entity.Def, in schema.Object) error
	// Replace makes the whole configuration equal to the entities given by kind, in
	// one change set. Entities have been processed for Insert by it.
	Replace(ctx context.Context, entities map[string][]schema.Object) (store.Position, error)
	// Tagged lists (entity_name, entity_id, tag) rows, of one tag or of all ("").
	Tagged(ctx context.Context, tag string, size int, offset string) (Page, error)
}
