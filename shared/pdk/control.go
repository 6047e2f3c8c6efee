package pdk

import (
	"context"
	"encoding/json"
	"errors"
)

// Errors of Control. Others may come wrapped in a message for people.
var (
	// ErrControlAway means that no control plane is connected, or that it did not answer in
	// time. Whether what was asked was done is not known in the second case.
	ErrControlAway = errors.New("the control plane is away")
	// ErrControlBusy means that too much is asked at once.
	ErrControlBusy = errors.New("the control plane is busy")
	// ErrWriteGone means that an entity to update or delete is not there.
	ErrWriteGone = errors.New("the entity is not there")
	// ErrWriteConflict means that a unique value is taken.
	ErrWriteConflict = errors.New("a unique value is taken")
	// ErrWriteRefused means that a write is not valid or not the plugin's to make.
	ErrWriteRefused = errors.New("the control plane refuses the write")
)

// Control is what the control plane does for a plugin on a node. Calls wait for the
// control plane, until ctx ends; without one that is connected they fail at once with
// ErrControlAway. How many of them wait at a time is bounded. It is safe for
// concurrent use.
type Control interface {
	// Write makes changes to entities of the kinds that the plugin brings along, all of
	// them or none, and returns when the connected nodes serve them, or after a second:
	// what a client is told afterwards holds wherever it goes next.
	Write(ctx context.Context, writes ...EntityWrite) error
	// Lease tells what this node has taken of counters that all nodes share, and asks for
	// more. There is a grant for each request. One node's calls for a counter must not
	// overlap.
	Lease(ctx context.Context, requests []LeaseRequest) ([]LeaseGrant, error)
}

// WriteOp says what an EntityWrite does. The zero value is invalid.
type WriteOp uint8

// Operations of an EntityWrite.
const (
	// WriteInsert makes a new entity.
	WriteInsert WriteOp = iota + 1
	// WriteUpdate merges into an entity that must be there.
	WriteUpdate
	// WriteDelete removes an entity that must be there: of several that try, one succeeds.
	WriteDelete
)

// EntityWrite is a change to one entity.
type EntityWrite struct {
	Op WriteOp
	// Kind of the entity, such as "oauth2_tokens".
	Kind string
	// ID of the entity. An insert may leave it to the control plane.
	ID string
	// Body is what the Admin API would get, as JSON; nil for WriteDelete.
	Body json.RawMessage
}

// LeaseRequest is about one counter in one window of time.
type LeaseRequest struct {
	// Counter names it within the plugin.
	Counter string
	// Start and End of the window, in seconds since 1970.
	Start, End int64
	// Limit is how much all nodes together may take.
	Limit uint64
	// Used is how much this node has taken, Held what it was granted besides and has left.
	Used, Held uint64
	// Waiting is how much is waited for now, Ahead how much more would be taken ahead.
	Waiting, Ahead uint64
}

// LeaseGrant answers a LeaseRequest.
type LeaseGrant struct {
	// Granted is how much more the node may take.
	Granted uint64
	// Taken is how much all nodes together have taken or hold, with this grant.
	Taken uint64
	// Ahead is how much a node may hold ahead of need.
	Ahead uint64
	// Nodes is how many nodes are connected, 1 at least.
	Nodes int
}

// NoControl is the Control of a host that has none.
type NoControl struct{}

// Write follows Control.
func (NoControl) Write(context.Context, ...EntityWrite) error { return ErrControlAway }

// Lease follows Control.
func (NoControl) Lease(context.Context, []LeaseRequest) ([]LeaseGrant, error) {
	return nil, ErrControlAway
}
