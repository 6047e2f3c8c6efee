// Package store is the contract of what keeps the configuration: entities with their
// index entries, the revision, the root and the change log, committed together or not at
// all. It owns what a transaction means; package bolt keeps it in a file, storetest says
// what every store must do. It refuses to know what an entity is: bodies are bytes.
package store

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/shared/roothash"
)

// Position names one configuration; see config-stream in the README.
type Position struct {
	Lineage    string
	Generation uint64
	Revision   uint64
	Root       roothash.Root
}

// Op says what happened to an entity.
type Op uint8

// Operations on an entity.
const (
	Put Op = iota + 1
	Delete
)

// Change is one entity written or removed. Body is canonical JSON, nil for Delete.
type Change struct {
	Op   Op
	Kind string
	ID   string
	Body []byte
	// Before is the body that was there before, nil for none. Only change sets of the log
	// that are Reversible have it.
	Before []byte
}

// ChangeSet is what one transaction changed.
type ChangeSet struct {
	From, To Position
	At       time.Time
	// Actor is who asked for it, Summary what for; both may be empty.
	Actor, Summary string
	// RemovalIntended allows nodes to lose most of their entities.
	RemovalIntended bool
	Changes         []Change
	// Omitted tells that there were more changes than the log keeps of one revision, so that
	// Changes has none of them.
	Omitted bool
	// Reversible tells that Changes say what was before.
	Reversible bool
}

// Store keeps entities, their indexes and the change log. It is safe for
// concurrent use; Update calls run one after the other.
type Store interface {
	// View runs fn on a consistent state. What Tx returns is valid inside fn only.
	View(fn func(Tx) error) error
	// Update runs fn and commits, unless fn returns an error. When fn changed streamed
	// entities the commit has a new revision and a change set, computed from what was
	// written. It returns the position after the commit. A fn that panics leaves no
	// trace; Update panics in its place. fn must not call Update.
	Update(ctx context.Context, info Info, fn func(WriteTx) error) (Position, error)
	// Load is Update for a change of much or everything at once: it takes little memory
	// beside what there will be, however large that is. While it runs there are no other
	// writes; fn must not call Update or Load.
	Load(ctx context.Context, info Info, fn func(BulkTx) error) (Position, error)
	// Position returns the head.
	Position() (Position, error)
	// Notify returns a channel that gets a value (latest wins, capacity 1) after each
	// commit that made a revision. Cancel ends it.
	Notify() (ch <-chan Position, cancel func())
	// Close waits for transactions to end.
	Close() error
}

// Info goes into the change set.
type Info struct {
	Actor, Summary  string
	RemovalIntended bool
}

// Tx reads.
type Tx interface {
	Position() Position
	// Get returns the body of an entity, or ErrNotFound.
	Get(kind, id string) ([]byte, error)
	// Lookup returns the id that an index entry points to, or ErrNotFound. Index names
	// are made by the catalog, such as "services.name".
	Lookup(index, key string) (id string, err error)
	// List calls fn for up to limit entities of a kind in the order of ids, starting
	// after the id given ("" for the start), until fn returns false.
	List(kind, after string, limit int, fn func(id string, body []byte) bool) error
	// Scan does the same for the ids under a prefix of a multi-index, such as all routes
	// of a service: index "routes.service", key the service's id.
	Scan(index, key, after string, limit int, fn func(id string) bool) error
	// Count of entities of a kind.
	Count(kind string) (int, error)
	// ChangeSets calls fn for the change sets after revision, oldest first, until fn
	// returns false. ErrCompacted when the log does not reach back that far, and after one
	// that is Omitted, with which nothing can be brought up to date. In a WriteTx what is
	// being written is not among them.
	ChangeSets(after uint64, fn func(*ChangeSet) bool) error
	// Meta reads a value that belongs to the control plane itself, such as the cluster CA.
	Meta(key string) ([]byte, error)
}

// WriteTx writes. Bodies and keys are copied.
type WriteTx interface {
	Tx
	// Put writes an entity and its index entries, replacing what was there. An
	// exclusive entry that belongs to another id is ErrConflict (a *ConflictError).
	Put(kind, id string, body []byte, indexes []Index) error
	// Delete removes an entity and its index entries. ErrNotFound when there is none.
	Delete(kind, id string) error
	// PutLocal and DeleteLocal do the same without a revision: kinds that are not streamed.
	PutLocal(kind, id string, body []byte, indexes []Index) error
	DeleteLocal(kind, id string) error
	// SetMeta sets or, when value is nil, removes a value.
	SetMeta(key string, value []byte) error
}

// BulkTx makes all entities of some streamed kinds those that are added to it.
type BulkTx interface {
	WriteTx
	// Add adds an entity to those that there will be. What is read does not show it yet.
	// Bodies and keys are copied.
	Add(kind, id string, body []byte, indexes []Index) error
	// Merge ends adding. Entities of the kinds that were not added are removed, but for
	// those that keep wants; changed is called for each entity that differs from before, in
	// the order of kinds and ids, with nil for no body. What both are given is valid during
	// the call. An entity that was added twice is ErrConflict. Kinds that are merged must not
	// be written otherwise, unless what was written is kept.
	Merge(kinds []string, keep func(kind, id string, body []byte) (bool, error), changed func(kind, id string, before, after []byte) error) error
}

// Index is an index entry of an entity. Exclusive entries are unique; the others
// form multi-indexes. An index belongs to one kind; multi-indexes may have empty keys.
type Index struct {
	Name, Key string
	Exclusive bool
}
