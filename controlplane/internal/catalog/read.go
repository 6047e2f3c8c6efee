package catalog

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Get implements API.
func (c *Catalog) Get(_ context.Context, def *entity.Def, key Key, scope Scope) (out schema.Object, err error) {
	k, err := c.kind(def)
	if err != nil {
		return nil, err
	}
	err = c.o.Store.View(func(tx store.Tx) error {
		o, err := c.find(tx, k, key, scope)
		if errors.Is(err, ErrNotFound) {
			return ErrNotFound // reading says no more
		}
		if err != nil {
			return err
		}
		out, err = c.show(tx, k, o)
		return err
	})
	return out, err
}

// Find implements API.
func (c *Catalog) Find(_ context.Context, def *entity.Def, field, value string) (out schema.Object, err error) {
	k, err := c.kind(def)
	if err != nil {
		return nil, err
	}
	err = c.o.Store.View(func(tx store.Tx) error {
		id, err := c.lookup(tx, k, field, value)
		if err != nil {
			return err
		}
		o, err := c.find(tx, k, Key{ID: id}, Scope{})
		if err != nil {
			return err
		}
		out, err = c.show(tx, k, o)
		return err
	})
	return out, err
}

// lookup returns the id of the entity with a value in a unique field.
func (c *Catalog) lookup(tx store.Tx, k *kind, field, value string) (string, error) {
	if field == k.pk {
		return value, nil
	}
	u := k.unique(field)
	if u == nil || value == "" {
		return "", ErrNotFound
	}
	id, err := tx.Lookup(u.index, u.key(c.workspace, value))
	if errors.Is(err, store.ErrNotFound) {
		return "", ErrNotFound
	}
	return id, err
}

// resolve returns the id that a key leads to, or an error that errors.Is ErrNotFound.
func (c *Catalog) resolve(tx store.Tx, k *kind, key Key, scope Scope) (string, error) {
	if key.ID != "" {
		return key.ID, nil
	}
	if err := c.checkKey(k, key, scope); err != nil {
		return "", err
	}
	endpoint := k.schema.EndpointKey
	if besides := k.besides(scope.Field); besides != "" {
		tuple, err := k.tupleKey(c.workspace, schema.Object{scope.Field: schema.Object{"id": scope.ParentID}, besides: key.Value})
		if err != nil {
			return "", err
		}
		id, err := tx.Lookup(k.tupleIndex, tuple)
		if err == nil || !errors.Is(err, store.ErrNotFound) || endpoint == "" {
			if errors.Is(err, store.ErrNotFound) {
				return "", ErrNotFound
			}
			return id, err
		}
	}
	if k.name == kindCertificates {
		return c.byServerName(tx, key.Value)
	}
	id, err := c.lookup(tx, k, endpoint, key.Value)
	if errors.Is(err, ErrNotFound) {
		return "", notFound(key, endpoint)
	}
	return id, err
}

// byServerName returns the certificate that one of its snis leads to.
func (c *Catalog) byServerName(tx store.Tx, name string) (string, error) {
	snis := c.byName[kindSNIs]
	id, err := c.lookup(tx, snis, "name", name)
	if err != nil {
		return "", err
	}
	o, err := snis.load(tx, id)
	if err != nil {
		return "", err
	}
	return refID(o, "certificate"), nil
}

// find reads the stored form of what a key leads to.
func (c *Catalog) find(tx store.Tx, k *kind, key Key, scope Scope) (schema.Object, error) {
	id, err := c.resolve(tx, k, key, scope)
	if err != nil {
		return nil, err
	}
	o, err := k.load(tx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && (c.ended(k, o) || !k.in(o, c.workspace)) {
		return nil, notFound(key, k.schema.EndpointKey)
	}
	if err != nil {
		return nil, err
	}
	if scope.Field != "" && refID(o, scope.Field) != scope.ParentID {
		return nil, notFound(key, k.schema.EndpointKey)
	}
	return o, nil
}

// show completes an entity for an answer.
func (c *Catalog) show(tx store.Tx, k *kind, o schema.Object) (schema.Object, error) {
	if k.name != kindCertificates || c.byName[kindSNIs] == nil {
		return k.schema.Read(o), nil
	}
	names, err := c.serverNames(tx, k.id(o))
	if err != nil {
		return nil, err
	}
	with := make(schema.Object, len(o)+1)
	maps.Copy(with, o)
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = name.name
	}
	with[fieldSNIs] = list
	return k.schema.Read(with), nil
}

type serverName struct{ id, name string }

// serverNames are the snis of a certificate, sorted by name.
func (c *Catalog) serverNames(tx store.Tx, certificate string) ([]serverName, error) {
	snis := c.byName[kindSNIs]
	var out []serverName
	var ids []string
	if err := tx.Scan(snis.name+".certificate", certificate, "", everything, func(id string) bool {
		ids = append(ids, id)
		return true
	}); err != nil {
		return nil, err
	}
	for _, id := range ids {
		o, err := snis.load(tx, id)
		if err != nil {
			return nil, err
		}
		name, _ := o["name"].(string)
		out = append(out, serverName{id, name})
	}
	slices.SortFunc(out, func(a, b serverName) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return out, nil
}

// parseOffset reads what makeOffset made: the last entity of the page before.
func parseOffset(offset string) ([]string, error) {
	b, err := base64.RawURLEncoding.DecodeString(offset)
	if err != nil {
		return nil, invalidOffset(offset, "bad base64 encoding")
	}
	var parts []string
	if json.Unmarshal(b, &parts) != nil || len(parts) == 0 {
		return nil, invalidOffset(offset, "bad json encoding")
	}
	return parts, nil
}

func makeOffset(parts ...string) string {
	b, err := json.Marshal(parts)
	if err != nil {
		panic(err) // strings always encode
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func pageSize(size int) (int, error) {
	switch {
	case size == 0:
		return DefaultPageSize, nil
	case size < 0 || size > MaxPageSize:
		return 0, invalidSize()
	}
	return size, nil
}

// List implements API.
func (c *Catalog) List(_ context.Context, def *entity.Def, o ListOptions) (page Page, err error) {
	k, err := c.kind(def)
	if err != nil {
		return page, err
	}
	size, err := pageSize(o.Size)
	if err != nil {
		return page, err
	}
	if o.NameContains != "" && k.named() == nil {
		why := "cannot be used with '" + k.name + "'"
		return page, &Error{CodeInvalidOptions, "invalid options", "invalid option (name_contains: " + why + ")", schema.Object{"name_contains": why}}
	}
	if o.Newest {
		err = c.o.Store.View(func(tx store.Tx) error {
			page, err = c.newest(tx, k, &o, size)
			return err
		})
		return page, err
	}
	after := ""
	if o.Offset != "" {
		parts, err := parseOffset(o.Offset)
		if err != nil {
			return page, err
		}
		after = parts[0]
	}
	if o.JSON && k.name != kindCertificates && k.schema.Answers() {
		err = c.o.Store.View(func(tx store.Tx) error {
			page, err = c.listJSON(tx, k, &o, size, after)
			return err
		})
		return page, err
	}
	err = c.o.Store.View(func(tx store.Tx) error {
		page.Entities = make([]schema.Object, 0, min(size, DefaultPageSize))
		for {
			ids, err := c.ids(tx, k, &o, after, size+1)
			if err != nil {
				return err
			}
			for _, id := range ids {
				stored, err := k.load(tx, id)
				if err != nil {
					return err
				}
				if c.ended(k, stored) || !k.in(stored, c.workspace) || !k.matches(&o, stored) {
					after = id
					continue
				}
				if len(page.Entities) == size {
					page.Next = makeOffset(after)
					return nil
				}
				after = id
				shown, err := c.show(tx, k, stored)
				if err != nil {
					return err
				}
				page.Entities = append(page.Entities, shown)
			}
			if len(ids) <= size {
				return nil
			}
		}
	})
	return page, err
}

// ids returns up to limit ids behind after, of those that may match.
func (c *Catalog) ids(tx store.Tx, k *kind, o *ListOptions, after string, limit int) ([]string, error) {
	var ids []string
	take := func(id string) bool {
		ids = append(ids, id)
		return true
	}
	switch {
	case o.Scope.Field != "":
		err := tx.Scan(k.name+"."+o.Scope.Field, o.Scope.ParentID, after, limit, take)
		return ids, err
	case len(o.Tags) > 0 && !o.AnyTag, len(o.Tags) == 1:
		err := tx.Scan(tagIndex(k.name), indexKey(c.tagSpace(k), o.Tags[0]), after, limit, take)
		return ids, err
	case k.spaced && c.workspace != defaultWorkspace:
		err := tx.Scan(workspaceIndex(k.name), c.workspace, after, limit, take)
		return ids, err
	}
	if o.NameContains != "" {
		return k.idsContaining(tx, o.NameContains, after, limit)
	}
	err := tx.List(k.name, after, limit, func(id string, _ []byte) bool { return take(id) })
	return ids, err
}

// matches looks at scope, name and tags.
func (k *kind) matches(o *ListOptions, e schema.Object) bool {
	if o.NameContains != "" && !k.nameContains(e, o.NameContains) {
		return false
	}
	if o.Scope.Field != "" && refID(e, o.Scope.Field) != o.Scope.ParentID {
		return false
	}
	if len(o.Tags) == 0 {
		return true
	}
	tags, _ := e[fieldTags].([]any)
	for _, want := range o.Tags {
		has := slices.Contains(tags, any(want))
		if has && o.AnyTag {
			return true
		}
		if !has && !o.AnyTag {
			return false
		}
	}
	return !o.AnyTag
}

// Tagged implements API.
func (c *Catalog) Tagged(_ context.Context, tag string, size int, offset string) (page Page, err error) {
	size, err = pageSize(size)
	if err != nil {
		return page, err
	}
	from := []string{"", "", ""} // kind, id, tag
	if offset != "" {
		if from, err = parseOffset(offset); err != nil {
			return page, err
		}
		if len(from) != 3 {
			return page, invalidOffset(offset, "bad json encoding")
		}
	}
	kinds := slices.Clone(c.kinds)
	slices.SortFunc(kinds, func(a, b *kind) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	page.Entities = []schema.Object{}
	err = c.o.Store.View(func(tx store.Tx) error {
		last := from
		for _, k := range kinds {
			if !k.tagged || k.name < from[0] {
				continue
			}
			index, key := taggedIndex(k.name), indexKey(c.tagSpace(k), "")
			if tag != "" {
				index, key = tagIndex(k.name), indexKey(c.tagSpace(k), tag)
			}
			var ids []string
			if err := tx.Scan(index, key, "", everything, func(id string) bool {
				if k.name > from[0] || id >= from[1] {
					ids = append(ids, id)
				}
				return len(ids) <= size+1 // the first may be one that the page before has ended with
			}); err != nil {
				return err
			}
			for _, id := range ids {
				o, err := k.load(tx, id)
				if err != nil {
					return err
				}
				tags, _ := o[fieldTags].([]any)
				for _, t := range sortedTags(tags) {
					if tag != "" && t != tag || k.name == from[0] && id == from[1] && t <= from[2] {
						continue
					}
					if len(page.Entities) == size {
						page.Next = makeOffset(last...)
						return nil
					}
					page.Entities = append(page.Entities, schema.Object{"entity_name": k.name, "entity_id": id, "tag": t})
					last = []string{k.name, id, t}
				}
			}
		}
		return nil
	})
	return page, err
}

// tagSpace is what is in front of the tags of a kind: those of entities that belong to
// all workspaces are kept with the default one's.
func (c *Catalog) tagSpace(k *kind) string {
	if !k.spaced {
		return defaultWorkspace
	}
	return c.workspace
}

func sortedTags(tags []any) []string {
	out := make([]string, 0, len(tags))
	for _, t := range tags {
		if s, ok := t.(string); ok {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}
