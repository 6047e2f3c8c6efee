package entity

import (
	"errors"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Target is a typed targets entity: a host:port of an upstream.
type Target struct {
	ID        string   `json:"id"`
	Upstream  *Ref     `json:"upstream"`
	Target    string   `json:"target"`
	Weight    int      `json:"weight"`
	Tags      []string `json:"tags"`
	CreatedAt float64  `json:"created_at"`
	UpdatedAt float64  `json:"updated_at"`
	// Failover targets get requests only while no other one can.
	Failover bool `json:"failover"`
}

// Targets is the kind "targets": the machines behind an upstream.
var Targets = &Def{
	New: func() any { return new(Target) },
	Schema: &schema.Schema{
		Name:          "targets",
		PrimaryKey:    []string{"id"},
		EndpointKey:   "target",
		CacheKey:      []string{"upstream", "target"},
		Workspaceable: true,
		NoTopLevel:    true,
		Fields: []schema.Field{
			schema.ID(),
			schema.TimestampMillis().Named("created_at"),
			schema.TimestampMillis().Named("updated_at"),
			schema.ForeignTo("upstreams", "cascade").Named("upstream").AsRequired(),
			{Name: "target", Type: schema.String, Required: true, Check: checkTarget, CheckName: "target"},
			{Name: "weight", Type: schema.Integer, Default: 100, Between: []float64{0, 65535}},
			schema.Tags(),
			own(schema.Field{Name: "failover", Type: schema.Boolean}, "Whether the target gets requests only while none of the others can take them."),
		},
		Transform: func(o schema.Object) error {
			s, _ := o["target"].(string)
			o["target"] = CanonicalTarget(s)
			return nil
		},
	},
}

// defaultTargetPort is the port of a target that names none.
const defaultTargetPort = 8000

// CanonicalTarget returns the form in which a target is stored and looked up: with
// port, IPv6 addresses in full and in brackets. What is no target stays as it is.
func CanonicalTarget(s string) string {
	h, err := schema.ParseHostPort(s)
	if err != nil {
		return s
	}
	if h.Port < 0 {
		h.Port = defaultTargetPort
	}
	return h.String()
}

func checkTarget(v any) error {
	s, _ := v.(string)
	if _, err := schema.ParseHostPort(s); err != nil {
		return errors.New("Invalid target; not a valid hostname or ip address") //nolint:staticcheck // Kong's words
	}
	return nil
}
