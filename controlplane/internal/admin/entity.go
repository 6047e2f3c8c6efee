package admin

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

func isNotFound(err error) bool {
	return errors.Is(err, catalog.ErrNotFound) || errors.Is(err, store.ErrNotFound)
}

func (k kind) insert(c *call) (answer, error) {
	scope, err := k.scope(c)
	if err != nil {
		return answer{}, err
	}
	in, err := c.decode(k.def.Schema, nil)
	if err != nil {
		return answer{}, err
	}
	k.own(in, scope)
	w, err := c.catalog().Insert(c.ctx, k.def, in)
	c.hint(k.def, in, w.Entity, err)
	if err != nil {
		return answer{}, err
	}
	return c.wrote(w.Position, entityAnswer(http.StatusCreated, w.Entity))
}

// headerWarning has what the writer of an entity should know, one thing a line.
const headerWarning = "X-Sluice-Warning"

// mostWarnings bounds the lines.
const mostWarnings = 8

// hint adds what there is to know about an entity that was written, or about what was
// sent when it was refused.
func (c *call) hint(def *entity.Def, sent, written schema.Object, err error) {
	if def.Hints == nil {
		return
	}
	if err == nil {
		sent = written
	}
	for i, line := range def.Hints(sent) {
		if i == mostWarnings {
			return
		}
		c.w.Header().Add(headerWarning, printable(line))
	}
}

// printable is a text as a header may have it.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "?")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s[:min(len(s), 1024)])
}

// own makes an entity one of the parent that the path names, whatever its body says.
func (k kind) own(in schema.Object, scope catalog.Scope) {
	if scope.Field != "" {
		in[scope.Field] = schema.Object{"id": scope.ParentID}
	}
}

func (k kind) get(c *call) (answer, error) {
	key, scope, err := k.place(c)
	if err != nil {
		return answer{}, err
	}
	o, err := c.catalog().Get(c.ctx, k.def, key, scope)
	if err != nil {
		return answer{}, missing(err, k.def, c.values[len(c.values)-1])
	}
	return entityAnswer(http.StatusOK, o), nil
}

func (k kind) update(c *call) (answer, error) {
	key, scope, err := k.place(c)
	if err != nil {
		return answer{}, err
	}
	// Below a parent, and for certificates by the name of an sni, what is not there is
	// answered before the body is looked at.
	byName := k.def.Kind() == kindCertificates && key.ID == ""
	var stored schema.Object
	if k.parent != nil || byName || k.def.Schema.SubschemaKey != "" {
		if stored, err = c.catalog().Get(c.ctx, k.def, key, scope); err != nil && (k.parent != nil || byName || !isNotFound(err)) {
			return answer{}, missing(err, k.def, c.values[len(c.values)-1])
		}
	}
	return change(c, k.def, key, scope, stored)
}

func change(c *call, def *entity.Def, key catalog.Key, scope catalog.Scope, stored schema.Object) (answer, error) {
	in, err := c.decode(def.Schema, stored)
	if err != nil {
		return answer{}, err
	}
	if key.If, err = c.precondition(); err != nil {
		return answer{}, err
	}
	w, err := c.catalog().Update(c.ctx, def, key, scope, in)
	c.hint(def, in, w.Entity, err)
	if err != nil {
		return answer{}, err
	}
	return c.wrote(w.Position, entityAnswer(http.StatusOK, w.Entity))
}

func (k kind) upsert(c *call) (answer, error) {
	if k.def.Kind() == kindTargets {
		return k.update(c) // Kong makes no target by PUT, and changes one as by PATCH
	}
	key, scope, err := k.place(c)
	if err != nil {
		return answer{}, err
	}
	return replace(c, k, key, scope)
}

func replace(c *call, k kind, key catalog.Key, scope catalog.Scope) (answer, error) {
	in, err := c.decode(k.def.Schema, nil)
	if err != nil {
		return answer{}, err
	}
	k.own(in, scope)
	if k.def.Kind() == kindCertificates {
		serverNames(in, key.Value)
	}
	if key.If, err = c.precondition(); err != nil {
		return answer{}, err
	}
	w, err := c.catalog().Upsert(c.ctx, k.def, key, scope, in)
	c.hint(k.def, in, w.Entity, err)
	if err != nil {
		return answer{}, err
	}
	return c.wrote(w.Position, entityAnswer(http.StatusOK, w.Entity))
}

// serverNames completes the names of a certificate that is put: the list that is given is
// whole, and has the name that the path has.
func serverNames(in schema.Object, name string) {
	switch names := in["snis"].(type) {
	case nil:
		in["snis"] = []any{}
	case []any:
		if name != "" && !slices.Contains(names, any(name)) {
			in["snis"] = append(slices.Clone(names), name)
		}
	}
}

func (k kind) remove(c *call) (answer, error) {
	key, scope, err := k.place(c)
	if err != nil {
		return answer{}, err
	}
	if k.def.Kind() == kindCertificates && key.ID == "" {
		if _, err := c.find(k.def, key.Value); err != nil {
			return answer{}, err
		}
	}
	if key.If, err = c.precondition(); err != nil {
		return answer{}, err
	}
	w, err := c.catalog().Delete(c.ctx, k.def, key, scope)
	if err != nil {
		return answer{}, missing(err, k.def, c.values[len(c.values)-1])
	}
	return c.wrote(w.Position, answer{status: http.StatusNoContent})
}

// view is the entity that a foreign field of an item refers to, as in
// /routes/{routes}/service.
type view struct {
	def    *entity.Def
	field  string
	target *entity.Def
}

func (v view) methods() map[string]handler {
	return map[string]handler{http.MethodGet: v.get, http.MethodPatch: v.update, http.MethodPut: v.upsert, http.MethodDelete: v.remove}
}

// key returns the id that the item refers to.
func (v view) key(c *call) (catalog.Key, error) {
	o, err := c.find(v.def, c.values[0])
	if err != nil {
		return catalog.Key{}, err
	}
	id := refID(o, v.field)
	if id == "" {
		return catalog.Key{}, errNotFound
	}
	return catalog.Key{ID: id}, nil
}

func (v view) get(c *call) (answer, error) {
	key, err := v.key(c)
	if err != nil {
		return answer{}, err
	}
	o, err := c.find(v.target, key.ID)
	if err != nil {
		return answer{}, err
	}
	return entityAnswer(http.StatusOK, o), nil
}

func (v view) update(c *call) (answer, error) {
	key, err := v.key(c)
	if err != nil {
		return answer{}, err
	}
	stored, err := c.find(v.target, key.ID)
	if err != nil {
		return answer{}, err
	}
	return change(c, v.target, key, catalog.Scope{}, stored)
}

// upsert replaces what the item refers to. When that is nothing it makes one, to which
// the item refers from then on.
func (v view) upsert(c *call) (answer, error) {
	item, err := c.find(v.def, c.values[0])
	if err != nil {
		return answer{}, err
	}
	if id := refID(item, v.field); id != "" {
		return replace(c, kind{def: v.target}, catalog.Key{ID: id}, catalog.Scope{})
	}
	made := catalog.Key{ID: uuid.NewString()}
	out, err := replace(c, kind{def: v.target}, made, catalog.Scope{})
	if err != nil {
		return answer{}, err
	}
	id, _ := item["id"].(string)
	entity, _ := out.body.(schema.Object)
	w, err := c.catalog().Update(c.ctx, v.def, catalog.Key{ID: id}, catalog.Scope{}, schema.Object{v.field: schema.Object{"id": made.ID}})
	if err != nil {
		return answer{}, err
	}
	return c.wrote(w.Position, entityAnswer(out.status, entity))
}

// remove always refuses: what is deleted here would surprise.
func (v view) remove(c *call) (answer, error) {
	if _, err := v.key(c); err != nil {
		return answer{}, err
	}
	m := message(http.StatusMethodNotAllowed, notAllowed)
	m.header = [][2]string{{"Allow", "GET, HEAD, OPTIONS, PATCH, PUT"}}
	return m, nil
}

// refID returns the id that a foreign field refers to, "" for none.
func refID(o schema.Object, field string) string {
	ref, _ := o[field].(schema.Object)
	id, _ := ref["id"].(string)
	return id
}
