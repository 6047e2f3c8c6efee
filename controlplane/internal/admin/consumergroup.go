package admin

import (
	"net/http"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// side is one end of the memberships of consumers in groups: the groups below a consumer,
// or the consumers below a group.
type side struct {
	members *entity.Def
	// above is what the path names, and field what refers to it; below and belowField are
	// the other end.
	above, below      *entity.Def
	field, belowField string
	// argument is the field of a body that names what joins.
	argument *schema.Schema
	// one and many are what answers of a POST call the two ends.
	one, many string
}

// addGroups adds the paths of memberships in consumer groups: each is one entity between
// a consumer and a group, which Kong's clients only see as lists of the two.
func (a *API) addGroups() {
	consumers, groups, members := a.o.Kinds.ByKind(kindConsumers), a.o.Kinds.ByKind(kindConsumerGroups), a.o.Kinds.ByKind("consumer_group_consumers")
	if consumers == nil || groups == nil || members == nil {
		return
	}
	a.sides = map[string]side{}
	for _, s := range []side{
		{members, groups, consumers, "consumer_group", "consumer", named("consumer"), "consumer_group", kindConsumers},
		{members, consumers, groups, "consumer", "consumer_group", named("group"), "consumer", kindConsumerGroups},
	} {
		path := "/" + s.above.Schema.Collection() + item(s.above) + "/" + s.below.Schema.Collection()
		a.sides[path], a.sides[path+item(s.below)] = s, s
		a.table.add(path, map[string]handler{http.MethodGet: s.list, http.MethodPost: s.join, http.MethodDelete: s.leaveAll})
		a.table.add(path+item(s.below), map[string]handler{http.MethodGet: s.get, http.MethodDelete: s.leave})
	}
}

// named is the schema of a body that names one entity.
func named(argument string) *schema.Schema {
	return &schema.Schema{Name: "membership", Fields: []schema.Field{{Name: argument, Type: schema.String, Required: true}}}
}

// place returns what the path names.
func (s side) place(c *call) (above schema.Object, scope catalog.Scope, err error) {
	if above, err = c.find(s.above, c.values[0]); err != nil {
		return nil, scope, err
	}
	id, _ := above["id"].(string)
	return above, catalog.Scope{Field: s.field, ParentID: id}, nil
}

// other reads the other end of a membership.
func (s side) other(c *call, membership schema.Object) (schema.Object, error) {
	ref, _ := membership[s.belowField].(schema.Object)
	id, _ := ref["id"].(string)
	return c.catalog().Get(c.ctx, s.below, catalog.Key{ID: id}, catalog.Scope{}) //nolint:wrapcheck // fail makes the answer of it
}

func (s side) list(c *call) (answer, error) {
	_, scope, err := s.place(c)
	if err != nil {
		return answer{}, err
	}
	query := c.r.URL.Query()
	o := catalog.ListOptions{Scope: scope}
	if o.Size, o.Offset, err = paging(query); err != nil {
		return answer{}, err
	}
	page, err := c.catalog().List(c.ctx, s.members, o)
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail makes the answer of it
	}
	shown := make([]schema.Object, 0, len(page.Entities))
	for _, membership := range page.Entities {
		o, err := s.other(c, membership)
		if isNotFound(err) {
			continue // gone since
		}
		if err != nil {
			return answer{}, err
		}
		shown = append(shown, o)
	}
	page.Entities = shown
	return ok(pageBody(c, page, query, true))
}

func (s side) join(c *call) (answer, error) {
	above, scope, err := s.place(c)
	if err != nil {
		return answer{}, err
	}
	in, err := c.decode(s.argument, nil)
	if err != nil {
		return answer{}, err
	}
	argument := s.argument.Fields[0].Name
	if in, err = s.argument.Process(in, schema.Insert, nil); err != nil {
		return answer{}, err //nolint:wrapcheck // a violation
	}
	name, _ := in[argument].(string)
	below, err := c.find(s.below, name)
	if err != nil {
		return answer{}, err
	}
	w, err := c.catalog().Insert(c.ctx, s.members, schema.Object{
		s.field: schema.Object{"id": scope.ParentID}, s.belowField: schema.Object{"id": below["id"]},
	})
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail makes the answer of it
	}
	return c.wrote(w.Position, answer{status: http.StatusCreated, body: schema.Object{s.one: above, s.many: []any{below}}})
}

func (s side) leaveAll(c *call) (answer, error) {
	_, scope, err := s.place(c)
	if err != nil {
		return answer{}, err
	}
	w, err := c.catalog().DeleteAll(c.ctx, s.members, scope)
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail makes the answer of it
	}
	return c.wrote(w.Position, answer{status: http.StatusNoContent})
}

// pair finds both ends that the path names.
func (s side) pair(c *call) (below schema.Object, key catalog.Key, scope catalog.Scope, err error) {
	if _, scope, err = s.place(c); err != nil {
		return nil, key, scope, err
	}
	if below, err = c.find(s.below, c.values[1]); err != nil {
		return nil, key, scope, err
	}
	key.Value, _ = below["id"].(string)
	return below, key, scope, nil
}

func (s side) get(c *call) (answer, error) {
	below, key, scope, err := s.pair(c)
	if err != nil {
		return answer{}, err
	}
	if _, err := c.catalog().Get(c.ctx, s.members, key, scope); err != nil {
		return answer{}, err //nolint:wrapcheck // fail makes the answer of it
	}
	return ok(below)
}

func (s side) leave(c *call) (answer, error) {
	_, key, scope, err := s.pair(c)
	if err != nil {
		return answer{}, err
	}
	w, err := c.catalog().Delete(c.ctx, s.members, key, scope)
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail makes the answer of it
	}
	return c.wrote(w.Position, answer{status: http.StatusNoContent})
}

// showGroup answers a group with the consumers in it; list_consumers=false leaves them
// out.
func showGroup(c *call) (answer, error) {
	groups, members := c.api.o.Kinds.ByKind(kindConsumerGroups), c.api.o.Kinds.ByKind("consumer_group_consumers")
	group, err := c.find(groups, c.values[0])
	if err != nil {
		return answer{}, err
	}
	body := schema.Object{"consumer_group": group}
	switch text := c.r.URL.Query().Get("list_consumers"); text {
	case "false":
		return ok(body)
	case "", "true":
	default:
		return answer{}, refuse(http.StatusBadRequest, "list_consumers: expected true or false")
	}
	id, _ := group["id"].(string)
	s := side{below: c.api.o.Kinds.ByKind(kindConsumers), belowField: "consumer"}
	consumers := []any{}
	err = each(c, c.catalog(), members, catalog.ListOptions{Scope: catalog.Scope{Field: "consumer_group", ParentID: id}}, func(m schema.Object) error {
		o, err := s.other(c, m)
		if isNotFound(err) {
			return nil // gone since
		}
		consumers = append(consumers, o)
		return err
	})
	if err != nil {
		return answer{}, err
	}
	body["consumers"] = consumers
	return ok(body)
}
