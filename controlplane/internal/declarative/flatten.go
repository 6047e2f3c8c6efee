package declarative

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sort"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/spool"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins/basicauth"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// place is where a document has an entity: keys and indexes from the top.
type place []any

// spot is a place that shares its beginning with others: there may be millions.
type spot struct {
	above *spot
	key   string
	index int // -1 for a key without an index
}

func (s *spot) place() place {
	if s == nil {
		return nil
	}
	at := append(s.above.place(), s.key)
	if s.index >= 0 {
		at = append(at, s.index)
	}
	return at
}

// declared is an entity that was taken out of its parent. There may be millions, so that
// they are kept as records of a spool.
type declared struct {
	body  []byte // as given, without children
	added string // the field that nesting adds and errors do not show, "" for none
	place place
	order int // in which errors are listed: children before their parents
}

// appendRecord appends an entity as a record: its order, field and spot, and the body.
func appendRecord(b []byte, order int, added string, at *spot, body []byte) []byte {
	b = binary.AppendUvarint(b, uint64(order))
	b = append(binary.AppendUvarint(b, uint64(len(added))), added...)
	depth := uint64(0)
	for s := at; s != nil; s = s.above {
		depth++
	}
	b = binary.AppendUvarint(b, depth)
	for s := at; s != nil; s = s.above { // the last first
		b = append(binary.AppendUvarint(b, uint64(len(s.key))), s.key...)
		b = binary.AppendUvarint(b, uint64(s.index+1))
	}
	return append(b, body...)
}

// record takes a record apart; its body is a view.
type record struct{ rest []byte }

func (r *record) uvarint() int {
	v, n := binary.Uvarint(r.rest)
	r.rest = r.rest[n:]
	return int(v)
}

func (r *record) text() []byte {
	n := r.uvarint()
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func bodyOf(b []byte) []byte {
	r := record{b}
	r.uvarint()
	r.text()
	for n := r.uvarint(); n > 0; n-- {
		r.text()
		r.uvarint()
	}
	return r.rest
}

func declaredOf(b []byte) declared {
	r := record{b}
	d := declared{order: r.uvarint(), added: string(r.text())}
	type step struct {
		key   string
		index int
	}
	steps := make([]step, r.uvarint())
	for i := range steps {
		steps[i] = step{string(r.text()), r.uvarint() - 1}
	}
	for _, s := range slices.Backward(steps) {
		if d.place = append(d.place, s.key); s.index >= 0 {
			d.place = append(d.place, s.index)
		}
	}
	d.body = bytes.Clone(r.rest)
	return d
}

// flat is a document as lists of entities.
type flat struct {
	s       *Service
	version string
	configs schema.Object           // _plugin_configs
	untold  bool                    // it does not say whether it was transformed
	found   map[string]*spool.Spool // records by kind
	record  []byte
	order   int
	wrong   schema.Object   // what is wrong with the document itself
	members map[string]bool // memberships that were taken
	// What was found, once it is not needed any more.
	count int
	kinds []string
}

// flatten takes a document apart. Its error is that of a part which can't be parsed.
func (s *Service) flatten(d *document) (*flat, error) {
	f, err := s.flattenParts(d)
	if err != nil && d.atOnce != nil {
		if d, err = d.atOnce(); err == nil {
			f, err = s.flattenParts(d)
		}
	}
	return f, err
}

func (s *Service) flattenParts(d *document) (*flat, error) {
	top := d.top
	f := &flat{s: s, found: map[string]*spool.Spool{}, wrong: schema.Object{}}
	switch version := top["_format_version"].(type) {
	case nil:
		f.wrong["_format_version"] = "required field missing"
	case string:
		f.version = version
	case float64:
		f.version = fmt.Sprintf("%.1f", version)
	case int64:
		f.version = fmt.Sprintf("%d.0", version)
	default:
		f.wrong["_format_version"] = "expected a string"
	}
	if f.version != "" && !slices.Contains(versions, f.version) {
		f.wrong["_format_version"] = "expected one of: 1.1, 2.1, 3.0"
	}
	f.configs, _ = top["_plugin_configs"].(schema.Object)
	f.untold = top["_transform"] == nil
	for _, name := range sorted(top) {
		if isMeta(name) {
			continue
		}
		v := top[name]
		empty, isObject := v.(schema.Object)
		switch {
		case s.names[name] == nil:
			f.wrong[name] = "unknown field"
		case v == nil, isObject && len(empty) == 0:
		default:
			f.wrong[name] = "expected an array"
		}
	}
	for _, def := range s.kinds {
		l := d.lists[def.Kind()]
		if l == nil {
			continue
		}
		delete(d.lists, def.Kind())
		if err := l.take(func(i int, v any) { f.take(def, v, &spot{nil, def.Kind(), i}, nil) }); err != nil {
			if wrong, ok := errors.AsType[parseError](err); ok {
				return nil, parseError{fmt.Errorf("%s.%w", def.Kind(), wrong.error)}
			}
			return nil, err
		}
	}
	return f, nil
}

func sorted(o schema.Object) []string {
	out := make([]string, 0, len(o))
	for name := range o {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// parent is what a nested entity refers to.
type parent struct {
	def *entity.Def
	ref schema.Object
	// known tells that the document says the id, so that errors may show it.
	known bool
}

// take adds an entity and its children.
func (f *flat) take(def *entity.Def, v any, at *spot, above *parent) {
	given, ok := v.(schema.Object)
	if !ok {
		if text, isText := v.(string); isText && above != nil && def.Schema.EndpointKey != "" {
			given = schema.Object{def.Schema.EndpointKey: text}
		} else {
			f.put(at.place(), "expected a record")
			return
		}
	}
	own := schema.Object{}
	children := map[*entity.Def][]any{}
	var order []*entity.Def
	var members []nestedMembers
	for _, name := range sorted(given) {
		v := given[name]
		if name == "_comment" || name == "_ignore" {
			continue
		}
		if nested, ok := membership(def, name); ok && f.s.names[kindMembers] != nil {
			members = append(members, nested)
			continue
		}
		if child := f.child(def, name, v); child != nil {
			if list, ok := v.([]any); ok {
				children[child] = list
				order = append(order, child)
				continue
			}
		}
		own[name] = v
	}
	added := ""
	if above != nil {
		if field := foreign(def, above.def); own[field] == nil {
			own[field] = above.ref
			if !above.known {
				added = field
			}
		}
	}
	f.adapt(def, own, at)
	if len(order) > 0 {
		known := isID(own["id"])
		p := &parent{def, f.reference(def, own), known}
		for _, child := range order {
			for i, e := range children[child] {
				f.take(child, e, &spot{at, child.Kind(), i}, p)
			}
		}
	}
	for _, nested := range members {
		f.takeMembers(nested, given[nested.key], f.reference(def, own), &spot{at, nested.key, -1})
	}
	f.add(def, own, added, at)
}

// add adds an entity that has no children any more.
func (f *flat) add(def *entity.Def, own schema.Object, added string, at *spot) {
	body, err := schema.EncodeJSON(own)
	if err != nil {
		f.put(at.place(), err.Error())
		return
	}
	f.order++
	records := f.found[def.Kind()]
	if records == nil {
		records = f.s.codec.New()
		f.found[def.Kind()] = records
	}
	f.record = appendRecord(f.record[:0], f.order, added, at, body)
	records.Append(f.record)
}

// child returns the kind that a key below an entity nests, nil when it is a field.
func (f *flat) child(def *entity.Def, name string, v any) *entity.Def {
	child := f.s.names[name]
	if child == nil || foreign(child, def) == "" {
		return nil
	}
	if def.Schema.Field(name) != nil {
		// A certificate's snis are a list of names, or entities.
		list, _ := v.([]any)
		if len(list) == 0 {
			return nil
		}
		if _, entities := list[0].(schema.Object); !entities {
			return nil
		}
	}
	return child
}

// foreign returns the field of a kind that refers to another, "" for none.
func foreign(def, to *entity.Def) string {
	for i := range def.Schema.Fields {
		if fd := &def.Schema.Fields[i]; fd.Type == schema.Foreign && fd.Reference == to.Kind() {
			return fd.Name
		}
	}
	return ""
}

// reference returns how children refer to an entity. One without id and name gets an id
// that is made from what it says.
func (f *flat) reference(def *entity.Def, own schema.Object) schema.Object {
	if id, ok := own["id"].(string); ok {
		return schema.Object{"id": id}
	}
	if key := def.Schema.EndpointKey; key != "" {
		if name, ok := own[key].(string); ok {
			return schema.Object{key: name}
		}
	}
	b, err := schema.EncodeJSON(own)
	if err != nil {
		b = []byte(fmt.Sprint(own))
	}
	id := uuid.NewSHA1(uuid.NameSpaceOID, append([]byte(def.Kind()+"\x00"), b...)).String()
	own["id"] = id
	return schema.Object{"id": id}
}

// plain are paths that versions before 3.0 took as they are; others were regular
// expressions.
var plainPath = regexp.MustCompile(`^[a-zA-Z0-9._~/%-]*$`)

// kongHash is the form of the hashes in Kong's dumps.
var kongHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// adapt brings an entity to the form of the newest version.
func (f *flat) adapt(def *entity.Def, own schema.Object, at *spot) {
	switch def.Kind() {
	case "routes":
		paths, ok := own["paths"].([]any)
		if !ok || f.version == "3.0" {
			return
		}
		paths = slices.Clone(paths)
		for i, p := range paths {
			if path, ok := p.(string); ok && !plainPath.MatchString(path) && path != "" && path[0] != '~' {
				paths[i] = "~" + path
			}
		}
		own["paths"] = paths
	case "basicauth_credentials":
		// A dump does not say that its passwords are hashes, a document that is written by
		// hand need not say that they are none: their form tells.
		if password, ok := own["password"].(string); ok && f.untold && kongHash.MatchString(password) {
			own["password"] = basicauth.KongMark + password
		}
	case "plugins":
		name, ok := own["_config"].(string)
		if !ok {
			return
		}
		delete(own, "_config")
		base, ok := f.configs[name].(schema.Object)
		if !ok {
			f.put(append(at.place(), "_config"), "no such entry in _plugin_configs: "+name)
			return
		}
		over, _ := own["config"].(schema.Object)
		own["config"] = merge(base, over)
	}
}

// merge returns base with what over says besides.
func merge(base, over schema.Object) schema.Object {
	out := schema.Clone(base)
	for name, v := range over {
		a, isA := out[name].(schema.Object)
		b, isB := v.(schema.Object)
		if isA && isB {
			out[name] = merge(a, b)
		} else {
			out[name] = v
		}
	}
	return out
}

// Kinds implements catalog.Declared.
func (f *flat) Kinds() []string { return slices.Collect(maps.Keys(f.found)) }

// Len implements catalog.Declared.
func (f *flat) Len(kind string) int {
	if records := f.found[kind]; records != nil {
		return records.Len()
	}
	return 0
}

// Each implements catalog.Declared.
func (f *flat) Each(kind string, fn func(i int, entity []byte) error) error {
	records := f.found[kind]
	if records == nil {
		return nil
	}
	i := -1
	return records.Each(func(b []byte) error { //nolint:wrapcheck // it is fn's
		i++
		return fn(i, bodyOf(b))
	})
}

// pick returns some of the entities of a kind by their index.
func (f *flat) pick(kind string, wanted map[int]bool) map[int]declared {
	out := make(map[int]declared, len(wanted))
	i := -1
	if records := f.found[kind]; records != nil {
		_ = records.Each(func(b []byte) error { // it can't be torn
			if i++; wanted[i] {
				out[i] = declaredOf(b)
			}
			return nil
		})
	}
	return out
}

// Done implements catalog.Declared.
func (f *flat) Done() {
	for kind, records := range f.found {
		f.count += records.Len()
		f.kinds = append(f.kinds, kind)
	}
	f.found = nil
}

// put notes what is wrong at a place.
func (f *flat) put(at place, message any) { putAt(f.wrong, at, message) }
