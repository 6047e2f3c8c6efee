// Package config holds the words that the data plane's rooms share about a
// configuration on its way from the control plane or the disk to the plan: what a
// position, a change and an update are, and who applies them. It knows neither the
// wire nor the disk, and it decodes no body.
package config

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/shared/roothash"
)

// Position names one configuration. Equal positions mean equal configuration.
type Position struct {
	// Lineage is the random id of the store.
	Lineage string
	// Generation is raised by restore or forced adoption.
	Generation uint64
	// Revision counts committed change sets.
	Revision uint64
	// Root is the hash over all entities.
	Root roothash.Root
}

// IsZero tells whether there is no configuration at all.
func (p Position) IsZero() bool { return p == Position{} }

// String returns generation, revision and the start of the root, for logs.
func (p Position) String() string {
	if p.IsZero() {
		return "none"
	}
	return fmt.Sprintf("%d.%d-%x", p.Generation, p.Revision, p.Root[:4])
}

// Op says what happened to an entity. The zero value is invalid.
type Op uint8

// Operations on an entity.
const (
	Put Op = iota + 1
	Delete
)

// Change is one entity written or removed.
type Change struct {
	Op       Op
	Kind, ID string
	// Body is canonical JSON, nil for Delete. It must not be changed, and may be
	// kept: it is not reused. It may be a part of a larger buffer that keeping it keeps
	// alive; clone what is kept for long.
	Body []byte
	// MustUnderstand makes an unknown kind a reason to refuse; else it is ignored.
	MustUnderstand bool
}

// Source says where a configuration came from.
type Source uint8

// Sources of a configuration.
const (
	SourceNone Source = iota
	SourceStream
	SourceCache
	SourceFile
)

// String returns the word that status and fleet show.
func (s Source) String() string {
	switch s {
	case SourceStream:
		return "stream"
	case SourceCache:
		return "cache"
	case SourceFile:
		return "file"
	default:
		return "none"
	}
}

// Update leads from one configuration to the next.
type Update struct {
	// Whole means that Changes, all Put, are the whole configuration and replace
	// whatever was there. Otherwise Changes lead from From to To; each entity occurs
	// once, a Delete is for an entity that exists.
	Whole    bool
	From, To Position
	Changes  []Change
	Source   Source
	// CommittedAt is when the control plane committed it; zero when not known.
	CommittedAt time.Time
}

// EntityError is one reason against an entity of an update.
type EntityError struct {
	Kind, ID string
	// Name of the entity, "" when it has none.
	Name string
	// Field is a path such as "config.minute", "" for the entity as a whole.
	Field   string
	Message string
}

// Error implements error.
func (e EntityError) Error() string {
	who := e.Kind + " " + e.ID
	if e.Name != "" {
		who += " (" + e.Name + ")"
	}
	if e.Field != "" {
		who += " field " + e.Field
	}
	return who + ": " + e.Message
}

// ErrRefused is returned, wrapped or not, by an Applier that can not honour an
// update. Any other error is treated the same; it says that the entities named
// with it are to blame and not the node.
var ErrRefused = errors.New("configuration refused")

// Applier makes an update the configuration that is served. The caller has checked
// before that the bytes lead to Update.To.Root, and calls from one goroutine, one
// update after the other.
//
// Apply builds first and swaps last: with a non-nil error nothing has changed and
// the old configuration is served on; the entity errors say why. With a nil error
// requests that start after the return see the new configuration; entity errors
// then name entities that are left out, such as those of a plugin that this
// node does not have. When ctx ends Apply may give up.
type Applier interface {
	Apply(ctx context.Context, u Update) ([]EntityError, error)
}

// Inspector is an Applier that can tell whether what it serves is still what it was given.
// It is safe for concurrent use with itself, not with Apply.
type Inspector interface {
	// Inspect compares what is served of an entity with c, which is a Put of it. mark is
	// what Inspect returned for the same bytes before, 0 the first time, which takes
	// longer; it returns 0 for what it can not tell anything about.
	Inspect(c Change, mark uint64) (now uint64, err error)
}
