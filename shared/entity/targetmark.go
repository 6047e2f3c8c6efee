package entity

import "github.com/sluice-gateway/sluice/shared/schema"

// TargetMark is a typed target_marks entity: the health that somebody has given to a
// target by hand.
type TargetMark struct {
	ID     string `json:"id"`
	Target *Ref   `json:"target"`
	// Address is ip:port when the mark is for one address of the target only.
	Address string `json:"address"`
	Healthy bool   `json:"healthy"`
	// At is when the mark was made, in milliseconds since 1970. Each mark of a target is
	// later than the one before it, and a node obeys each once.
	At        int64   `json:"at"`
	CreatedAt float64 `json:"created_at"`
	UpdatedAt float64 `json:"updated_at"`
}

// TargetMarks is the kind "target_marks". The Admin API writes it at
// /upstreams/{upstream}/targets/{target}/healthy and unhealthy.
var TargetMarks = &Def{
	New: func() any { return new(TargetMark) },
	Schema: &schema.Schema{
		Name:          "target_marks",
		PrimaryKey:    []string{"id"},
		Workspaceable: true,
		NoAdmin:       true,
		NotExported:   true,
		Runtime:       true,
		Fields: []schema.Field{
			schema.ID(),
			schema.TimestampMillis().Named("created_at"),
			schema.TimestampMillis().Named("updated_at"),
			schema.ForeignTo("targets", "cascade").Named("target").AsRequired().Described("The target that was marked."),
			{Name: "address", Type: schema.String, Description: "The address of the target that was marked, as ip:port; all of them when it is not set."},
			{Name: "healthy", Type: schema.Boolean, Required: true, Description: "Whether the target was marked as healthy."},
			{Name: "at", Type: schema.Integer, Required: true, Description: "When the target was marked, in milliseconds since 1970."},
		},
	},
}
