package entity

import (
	"encoding/json"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is a typed plugins entity: one config of one plugin, and its scope.
type Plugin struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	InstanceName string `json:"instance_name"`
	Enabled      bool   `json:"enabled"`
	Route        *Ref   `json:"route"`
	Service      *Ref   `json:"service"`
	Consumer     *Ref   `json:"consumer"`
	// ConsumerGroup limits the config to the consumers in a group.
	ConsumerGroup *Ref `json:"consumer_group"`
	// Ordering moves the plugin among the others; nil leaves it where its priority puts it.
	Ordering *Ordering `json:"ordering"`
	// Condition is an expression about the requests that the config is for; "" is all.
	Condition string          `json:"condition"`
	Protocols []string        `json:"protocols"`
	Config    json.RawMessage `json:"config"`
	Tags      []string        `json:"tags"`
	CreatedAt int64           `json:"created_at"`
	UpdatedAt int64           `json:"updated_at"`
}

// Plugins is the kind "plugins": a config of a plugin, for all requests or for a
// route, service, consumer or group of consumers. lookup finds the schema of a plugin; nil
// knows none. compile tells what is wrong with a condition; nil leaves that to the data plane.
func Plugins(lookup func(name string) (*schema.Schema, bool), compile func(expression string, protocols []string) error) *Def {
	if lookup == nil {
		lookup = func(string) (*schema.Schema, bool) { return nil, false }
	}
	return &Def{
		New: func() any { return new(Plugin) },
		Schema: &schema.Schema{
			Name:          "plugins",
			PrimaryKey:    []string{"id"},
			EndpointKey:   "instance_name",
			CacheKey:      []string{"name", "route", "service", "consumer", "consumer_group"},
			Workspaceable: true,
			Fields: []schema.Field{
				schema.ID(),
				{Name: "name", Type: schema.String, Required: true},
				schema.Name().Named("instance_name").AsUnique(),
				schema.CreatedAt(),
				schema.UpdatedAt(),
				schema.ForeignTo("routes", "cascade").Named("route").Defaults(schema.Null),
				schema.ForeignTo("services", "cascade").Named("service").Defaults(schema.Null),
				schema.ForeignTo("consumers", "cascade").Named("consumer").Defaults(schema.Null),
				consumerGroup(),
				{Name: "config", Type: schema.Record, Abstract: true},
				schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...),
				{Name: "enabled", Type: schema.Boolean, Default: true, Required: true},
				schema.Tags(),
				orderingField(lookup),
				conditionField(compile),
			},
			SubschemaKey:   "name",
			Subschema:      lookup,
			SubschemaError: "plugin '%s' not enabled; add it to the 'plugins' configuration property",
		},
	}
}

// consumerGroup: plugins that make no sense for one consumer make none for a group either.
func consumerGroup() schema.Field {
	f := schema.ForeignTo("consumer_groups", "cascade").Named("consumer_group")
	f.Extra, f.NullWith = true, "consumer"
	return f
}
