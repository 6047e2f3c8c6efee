// Package entity holds one file an entity: its schema value and its typed struct.
// Kinds lists them. Admin routes, /schemas, store keys, the stream, the declarative
// format and the manager's forms follow from the schema; the data plane and the
// plugins decode into the struct. Entities of plugins live with their plugins and
// join the list through Options.
//
// # Fields beyond Kong's
//
// What /schemas says of a kind is structurally what Kong says, so that tools which are
// made for Kong find what they know. Where we go further, a kind has additional optional
// fields that are marked as Extra: they are absent from /schemas, and from answers while
// they are unset. A test lists every one of them by name. They were chosen over a separate entity or a plugin because they
// belong to what they stand at in every respect: they are validated, replaced and deleted
// with it. The cost is that a client which writes whole entities and does not know the
// fields, such as decK, takes them away when it writes one that has them. Values beyond
// Kong's for a field of Kong's are in OneOfExtra. Kinds that only the gateway itself
// writes while it runs, such as target_marks, are marked as Runtime.
package entity

import (
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Def ties an entity's schema to its typed struct.
type Def struct {
	// Schema.Name is the kind, such as "services".
	Schema *schema.Schema
	// New returns a pointer to a zero typed struct, to decode a body into.
	New func() any
	// Indexes lists fields besides the unique ones that the data plane looks up by value.
	Indexes []string
	// Hints returns what the writer of an entity should know although nothing is wrong, or
	// beyond what an error says; nil has none.
	Hints func(o schema.Object) []string
	// Many says that there may be very many that refer to the same entity, such as tokens:
	// data planes do not look them up by what they refer to.
	Many bool
	// Hidden kinds stay at the control plane and are not streamed.
	Hidden bool
}

// Kind returns the name of the kind, such as "services".
func (d *Def) Kind() string { return d.Schema.Name }

// Ref is a foreign reference: {"id": "..."}.
type Ref struct {
	ID string `json:"id"`
}

// RefID returns the id of a reference, or "" for none.
func RefID(r *Ref) string {
	if r == nil {
		return ""
	}
	return r.ID
}
