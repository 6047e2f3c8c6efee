// Package catalog is the one write path of the configuration. It owns what makes an
// entity acceptable beyond its bytes: the schema's judgement, a plugin config that a
// data plane can load, references that lead somewhere, unique values, what goes along
// when something is deleted, and when an entity ends. Everything of one request is one
// transaction of the store, which computes the change set from it. It refuses to know
// HTTP: requests and answers are objects, refusals are *Error and *schema.Violation.
//
// Indexes are named after the kind and field, such as "services.name". Keys of kinds
// that belong to a workspace begin with the workspace, which is empty for the default
// one, and a slash. An entity says in its stored form which workspace it is in; those of
// the default one say nothing. References never leave a workspace.
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
	// Value of the schema's EndpointKey. In a Scope it may also be what is unique there:
	// a target of an upstream, a group of a consumer. For certificates it is the name
	// of one of their snis.
	Value string
	// If is a precondition of a write, nil for none. It is asked in the transaction of
	// the write, with the entity as an answer shows it or nil when there is none; its error
	// ends the write.
	If func(now schema.Object) error
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
	// JSON holds the entities in its place when the list was asked for so: what Entities
	// would be encoded as, with commas in between. nil when there is none.
	JSON []byte
	// Ends tells of each entity in JSON where it ends; between two there is a comma.
	Ends []End
}

// End is where an entity ends in a page's JSON.
type End struct {
	ID string
	At int
}

// ListOptions select and page.
type ListOptions struct {
	Scope  Scope
	Size   int    // 1..1000, 0 means 100
	Offset string // as from Page.Next
	Tags   []string
	// AnyTag makes Tags alternatives.
	AnyTag bool
	// NameContains is a part of the name, in any case of letters; "" allows every name.
	NameContains string
	// JSON asks for entities as JSON, which is given where it is cheaper.
	JSON bool
	// Newest lists a scope in the order of age, the youngest first, instead of ids.
	Newest bool
}

// Written is the result of a write.
type Written struct {
	Entity schema.Object
	// Before is the stored entity before the write, nil when there was none.
	Before   schema.Object
	Position store.Position
}

// API is what the Admin API needs of a Catalog. Results are complete objects, nulls
// included, processed for reading. Errors: *schema.Violation, *Error, ErrNotFound (which
// an *Error with CodeNotFound is, too) and those of the store.
type API interface {
	// In returns the same for a workspace, by its id; "" is the default one, which is also
	// what a Catalog starts with. Entities of another workspace are not there.
	In(workspace string) API
	// Workspace returns the id for In and the name of a workspace, by its name or id, or
	// ErrNotFound.
	Workspace(ctx context.Context, nameOrID string) (id, name string, err error)
	// Counts returns how many entities of each kind are in the workspace.
	Counts(ctx context.Context) (map[string]int, error)
	// DeleteWorkspace removes a workspace. One that has entities is ErrNotEmpty, unless
	// cascade asks to remove them too; the default one is ErrDefaultWorkspace.
	DeleteWorkspace(ctx context.Context, key Key, cascade bool) (Written, error)
	Insert(ctx context.Context, def *entity.Def, in schema.Object) (Written, error)
	Get(ctx context.Context, def *entity.Def, key Key, scope Scope) (schema.Object, error)
	// Find returns the entity with a value in a unique field, such as custom_id.
	Find(ctx context.Context, def *entity.Def, field, value string) (schema.Object, error)
	List(ctx context.Context, def *entity.Def, o ListOptions) (Page, error)
	// Update merges in into the stored entity.
	Update(ctx context.Context, def *entity.Def, key Key, scope Scope, in schema.Object) (Written, error)
	// Upsert replaces the entity, or makes it with that key.
	Upsert(ctx context.Context, def *entity.Def, key Key, scope Scope, in schema.Object) (Written, error)
	// Delete removes an entity and what goes along with it. Deleting what is not there
	// is no error, but in a scope it is ErrNotFound.
	Delete(ctx context.Context, def *entity.Def, key Key, scope Scope) (Written, error)
	// DeleteAll removes all entities of a kind in a scope, and what goes along with them, in
	// one change set.
	DeleteAll(ctx context.Context, def *entity.Def, scope Scope) (Written, error)
	// Validate checks without storing and without looking at references.
	Validate(def *entity.Def, in schema.Object) error
	// Replace makes the whole workspace equal to the entities given by kind, in one change
	// set. Those that belong to all workspaces count as the default one's: others may add
	// to them, but take nothing away. It processes the entities; references may lead by name to others of
	// them, ids that are missing are made from what names an entity. Those that are
	// refused come as a *ReplaceError.
	Replace(ctx context.Context, entities map[string][]schema.Object) (store.Position, error)
	// ReplaceStored is Replace for entities in their stored form, such as exported ones.
	ReplaceStored(ctx context.Context, entities map[string][]schema.Object) (store.Position, error)
	// Restore makes entities what they were, whichever workspace they are in, in one change
	// set. what is called in its transaction; its error ends it. It returns how many are
	// changed. An entity that can't be what it was is a *RestoreError.
	Restore(ctx context.Context, summary string, what func(tx store.Tx) ([]Restored, error)) (p store.Position, changed int, err error)
	// Tagged lists (entity_name, entity_id, tag) rows, of one tag or of all ("").
	Tagged(ctx context.Context, tag string, size int, offset string) (Page, error)
}
