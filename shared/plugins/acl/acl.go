// Package acl is the plugin acl: consumers are let in or kept out by the groups that they
// are in. It owns the entities acls, which put consumers into groups.
package acl

import (
	"slices"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is acl.
var Plugin = &pdk.Plugin{
	Name:     "acl",
	Priority: 950,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
	Entities: []*entity.Def{Groups},
}

var pluginSchema = &schema.Schema{
	Name: "acl",
	Fields: []schema.Field{
		schema.NoConsumer(),
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			schema.ArrayOf(schema.Field{Type: schema.String}).Named("allow").Described("Groups whose consumers are let in."),
			schema.ArrayOf(schema.Field{Type: schema.String}).Named("deny").Described("Groups whose consumers are kept out."),
			schema.Field{Name: "hide_groups_header", Type: schema.Boolean, Default: false, Required: true}.Described("Whether the upstream is not told the consumer's groups."),
			schema.Field{Name: "always_use_authenticated_groups", Type: schema.Boolean, Default: false, Required: true}.
				Described("Whether groups that an authentication plugin has found count even when there is a consumer."),
			schema.Field{Name: "include_consumer_groups", Type: schema.Boolean, Extra: true}.
				Described("Whether the consumer groups that a consumer is in count, too, by their names."),
		),
	},
	Checks: []schema.EntityCheck{
		{OnlyOneOf: []string{"config.allow", "config.deny"}},
		{AtLeastOneOf: []string{"config.allow", "config.deny"}},
	},
}

// Group is a typed acls entity: a consumer in a group.
type Group struct {
	ID        string      `json:"id"`
	Consumer  *entity.Ref `json:"consumer"`
	Group     string      `json:"group"`
	Tags      []string    `json:"tags"`
	CreatedAt int64       `json:"created_at"`
}

// Groups is the kind "acls".
var Groups = &entity.Def{
	New: func() any { return new(Group) },
	Schema: &schema.Schema{
		Name:          "acls",
		PrimaryKey:    []string{"id"},
		CacheKey:      []string{"consumer", "group"},
		Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.ForeignTo("consumers", "cascade").Named("consumer").AsRequired(),
			{Name: "group", Type: schema.String, Required: true},
			schema.Tags(),
		},
	},
}

type config struct {
	Allow                        []string `json:"allow"`
	Deny                         []string `json:"deny"`
	HideGroupsHeader             bool     `json:"hide_groups_header"`
	AlwaysUseAuthenticatedGroups bool     `json:"always_use_authenticated_groups"`
	IncludeConsumerGroups        bool     `json:"include_consumer_groups"`
}

type plugin struct{ config }

func build(_ pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{c}
	return pdk.Phases{Access: p.access}, nil
}

// nobody answers who has no groups: whoever has not shown a credential may try to.
func (p *plugin) nobody(x *pdk.Exchange, credential bool) error {
	if credential {
		return x.Fail(403, "You cannot consume this service")
	}
	return x.Fail(401, "")
}

func (p *plugin) access(x *pdk.Exchange) error {
	var space [16]string
	groups, header := space[:0], "X-Consumer-Groups"
	credential := x.Credential != (pdk.Credential{})
	if len(x.Groups) > 0 && (x.Consumer == nil || !credential || p.AlwaysUseAuthenticatedGroups) {
		groups, header = append(groups, x.Groups...), "X-Authenticated-Groups"
	} else {
		if x.Consumer == nil {
			return p.nobody(x, credential)
		}
		for _, v := range x.View.ByForeign(Groups, "consumer", x.Consumer.ID) {
			if g, ok := v.(*Group); ok {
				groups = append(groups, g.Group)
			}
		}
		if p.IncludeConsumerGroups {
			for _, g := range x.ConsumerGroups {
				if !slices.Contains(groups, g.Name) {
					groups = append(groups, g.Name)
				}
			}
		}
	}
	if len(groups) == 0 && len(p.Deny) == 0 {
		return p.nobody(x, credential)
	}
	if p.blocked(groups) {
		return x.Fail(403, "You cannot consume this service")
	}
	if p.HideGroupsHeader || len(groups) == 0 {
		return nil
	}
	if len(groups) == 1 {
		x.Request.Header.Set(header, groups[0])
		return nil
	}
	slices.Sort(groups)
	size := 0
	for _, g := range groups {
		size += len(g) + 2
	}
	text := x.Text.Room(size)
	for i, g := range groups {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = append(text, g...)
	}
	x.Request.Header.Set(header, x.Text.Keep(text))
	return nil
}

func (p *plugin) blocked(groups []string) bool {
	list := p.Allow
	if len(p.Deny) > 0 {
		list = p.Deny
	}
	in := slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(list, g) })
	return in == (len(p.Deny) > 0)
}
