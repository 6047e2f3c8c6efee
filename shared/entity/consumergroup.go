package entity

import "github.com/sluice-gateway/sluice/shared/schema"

// ConsumerGroup is a typed consumer_groups entity.
type ConsumerGroup struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Tags      []string `json:"tags"`
	CreatedAt int64    `json:"created_at"`
	UpdatedAt int64    `json:"updated_at"`
}

// ConsumerGroups is the kind "consumer_groups": consumers that plugins treat alike. It is
// beyond Kong's open edition, in the shape of its documentation.
var ConsumerGroups = &Def{
	New: func() any { return new(ConsumerGroup) },
	Schema: &schema.Schema{
		Name:          "consumer_groups",
		PrimaryKey:    []string{"id"},
		EndpointKey:   "name",
		Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.UpdatedAt(),
			schema.Name().Named("name").AsUnique().AsRequired(),
			schema.Tags(),
		},
	},
}

// GroupMember is a typed consumer_group_consumers entity: a consumer in a group.
type GroupMember struct {
	ID            string `json:"id"`
	Consumer      *Ref   `json:"consumer"`
	ConsumerGroup *Ref   `json:"consumer_group"`
	CreatedAt     int64  `json:"created_at"`
	UpdatedAt     int64  `json:"updated_at"`
}

// GroupMembers is the kind "consumer_group_consumers". The Admin API shows its entities
// as consumers of a group and groups of a consumer.
var GroupMembers = &Def{
	New: func() any { return new(GroupMember) },
	Schema: &schema.Schema{
		Name:          "consumer_group_consumers",
		PrimaryKey:    []string{"id"},
		CacheKey:      []string{"consumer", "consumer_group"},
		NoAdmin:       true,
		Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.UpdatedAt(),
			schema.ForeignTo("consumers", "cascade").Named("consumer").AsRequired(),
			schema.ForeignTo("consumer_groups", "cascade").Named("consumer_group").AsRequired(),
		},
	},
}
