// Package entity holds one file an entity: its schema value and its typed struct.
// Kinds lists them. Admin routes, /schemas, store keys, the stream, the declarative
// format and the manager's forms follow from the schema; the data plane and the
// plugins decode into the struct. Entities of plugins live with their plugins and
// join the list through Options.
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
