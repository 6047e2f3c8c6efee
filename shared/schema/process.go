package schema

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// ExpiresAt is the key under which a stored entity of a TTL kind keeps when it
// ends, in seconds since 1970. It stands for "ttl", which counts down in answers.
const ExpiresAt = "expires_at"

// WorkspaceID is the key under which a stored entity of a workspaceable kind keeps the id
// of its workspace. Entities of the default workspace have none. Only who stores entities
// sets it; Process keeps that of the stored object.
const WorkspaceID = "ws_id"

// maxTTL is the longest time to live, in seconds.
const maxTTL = 100_000_000

// context is what processing one object needs to know.
type context struct {
	op     Op
	id     any // keeps the primary key of the stored object
	stored Object
	now    time.Time
	// ttl allows the field at the top.
	ttl bool
	// kept allows the workspace of the stored object at the top.
	kept bool
}

// Process brings an object into the form that is stored: shorthands expanded,
// merged with the stored object (Update), defaults and auto fields filled in, all
// checks passed, transformed. in and stored are not changed; the result shares
// nothing that is mutable with them.
//
// Nulls are left out, except where a field has a default that the null replaces:
// that makes the stored form canonical and lets later versions add fields. The
// error is a *Violation.
func (s *Schema) Process(in Object, op Op, stored Object) (Object, error) {
	r, sub, err := s.pick(in, op, stored)
	if err != nil {
		return nil, err
	}
	given, stays := in, op == DeclareStored
	if stays {
		op = Declare
	}
	if op == Update {
		stored = s.changed(sub, stored)
	}
	if in, err = r.expand(in); err != nil {
		return nil, err
	}
	if s.Normalize != nil || sub != nil && sub.Normalize != nil {
		in = Clone(in)
		if err := hook(s, sub, in, func(s *Schema) func(Object) error { return s.Normalize }); err != nil {
			return nil, err
		}
	}
	c := context{op: op, stored: stored, now: time.Now(), ttl: s.TTL}
	if stored != nil && op != Insert {
		c.id = stored["id"]
	}
	merged := in
	if op == Update {
		merged = r.merge(in, stored)
		_, given := in[WorkspaceID]
		c.kept = s.Workspaceable && !given
	}
	out, why := r.process(merged, &c)
	if workspace := stored[WorkspaceID]; workspace != nil && op != Insert {
		out[WorkspaceID] = workspace
	}
	if s.TTL {
		s.expiry(in, out, &why, &c)
	}
	if why != nil {
		return nil, &Violation{Fields: why}
	}
	if !stays {
		if err := transform(s, sub, out, given); err != nil {
			return nil, err
		}
	}
	if s.TransformFor != nil && transforms(s, given) {
		why := op
		if stays {
			why = DeclareStored
		}
		if err := s.TransformFor(out, why, stored); err != nil {
			return nil, asViolation(err)
		}
	}
	if op == Declare && stored != nil && given["updated_at"] == nil {
		now := out["updated_at"]
		out["updated_at"] = stored["updated_at"]
		if out["updated_at"] == nil || !equal(out, stored) {
			out["updated_at"] = now
		}
		if out["updated_at"] == nil {
			delete(out, "updated_at")
		}
	}
	return out, nil
}

// changed completes what is stored with nulls when another subschema refines it from now
// on: each field that only the one before knows is named, set or not.
func (s *Schema) changed(sub *Schema, stored Object) Object {
	if sub == nil || stored == nil {
		return stored
	}
	r, before, err := s.pick(stored, Select, nil)
	if err != nil || before == sub {
		return stored
	}
	return r.read(stored, false)
}

// pick returns the record to check with, refined by the subschema that the object
// names.
func (s *Schema) pick(in Object, op Op, stored Object) (*record, *Schema, error) {
	c := s.load()
	if s.SubschemaKey == "" {
		return c.plain, nil, nil
	}
	key, given := in[s.SubschemaKey]
	if !given && op == Update {
		key = stored[s.SubschemaKey]
	}
	if key == nil {
		f := c.plain.index[s.SubschemaKey]
		if given || f == nil || !f.hasDefault {
			return nil, nil, Violate(s.SubschemaKey, msgRequired)
		}
		key = f.def
	}
	names := []any{key}
	if list, ok := key.([]any); ok {
		names = list
	}
	for _, n := range names {
		if name, ok := n.(string); ok {
			if sub, ok := s.Subschema(name); ok {
				return c.with(s, sub), sub, nil
			}
		}
	}
	format := s.SubschemaError
	if format == "" {
		format = "unknown type: %s"
	}
	first := "nil"
	if len(names) > 0 {
		first = plain(names[0])
	}
	if _, ok := key.(Object); ok {
		first = "nil"
	}
	return nil, nil, Violate(s.SubschemaKey, fmt.Sprintf(format, first))
}

func hook(s, sub *Schema, o Object, which func(*Schema) func(Object) error) error {
	for _, s := range []*Schema{s, sub} {
		if s == nil {
			continue
		}
		if fn := which(s); fn != nil {
			if err := fn(o); err != nil {
				return asViolation(err)
			}
		}
	}
	return nil
}

func transform(s, sub *Schema, out, given Object) error {
	return hook(s, sub, out, func(s *Schema) func(Object) error {
		if transforms(s, given) {
			return s.Transform
		}
		return nil
	})
}

// transforms tells whether something was given that is to be transformed.
func transforms(s *Schema, given Object) bool {
	return len(s.TransformOn) == 0 || slices.ContainsFunc(s.TransformOn, func(name string) bool { return given[name] != nil })
}

// asViolation makes any error of a check a violation.
func asViolation(err error) *Violation {
	if v, ok := errors.AsType[*Violation](err); ok {
		return v
	}
	return &Violation{Fields: Object{"@entity": []any{err.Error()}}}
}

// process checks and completes one record. The second result holds what is wrong,
// nil when nothing is.
func (r *record) process(in Object, c *context) (out, why Object) {
	out = make(Object, len(r.fields))
	known := 0
	for _, f := range r.fields {
		v, given := in[f.Name]
		if given {
			known++
		}
		if f.Auto {
			v, given = f.auto(v, given, c)
		}
		if !given {
			done := false
			if v, done = f.missing(out); done {
				continue
			}
		}
		final, err := f.process(v, c)
		if f.Immutable && err == nil && c.op == Update && c.stored[f.Name] != nil && !equal(final, c.stored[f.Name]) {
			err = msgImmutable
		}
		if err != nil {
			if why == nil {
				why = Object{}
			}
			why[f.Name] = err
			if final == nil {
				final = v // for the checks across fields
			}
		}
		if final != nil || f.hasDefault {
			out[f.Name] = final
		}
	}
	if known < len(in) {
		for name := range in {
			if r.index[name] == nil && !(c.ttl && (name == "ttl" || name == ExpiresAt)) && !(c.kept && name == WorkspaceID) {
				if why == nil {
					why = Object{}
				}
				why[name] = msgUnknown
			}
		}
	}
	for i := range r.checks {
		why = r.checks[i].run(out, why, c)
	}
	return out, why
}

// missing fills in an absent field and tells that nothing more is to be done, or
// returns the value that is to be processed in its place.
func (f *field) missing(out Object) (any, bool) {
	switch {
	case f.record != nil && f.record.defaults != nil:
		if !f.record.complete || f.Check != nil {
			if f.hasDefault {
				return f.Default, false
			}
			return Object{}, false
		}
		out[f.Name] = Clone(f.record.defaults)
	case f.record == nil && f.hasDefault:
		out[f.Name] = cloneValue(f.def)
	default:
		return nil, !f.Required && f.Eq == nil && f.Ne == nil
	}
	return nil, true
}

// auto fills in ids, times and random strings.
func (f *field) auto(v any, given bool, c *context) (any, bool) {
	if c.now.IsZero() {
		c.now = time.Now()
	}
	insert := c.op == Insert || c.op == Upsert || c.op == Declare
	switch {
	case f.Name == "id" && c.id != nil:
		return c.id, true
	case c.op == Declare && f.Name == "updated_at" && v != nil:
		return v, true
	case c.op == Declare && !given && c.stored[f.Name] != nil && f.Name != "updated_at":
		return c.stored[f.Name], true
	case f.UUID:
		if insert && !given {
			return newUUID(), true
		}
	case f.Type == String:
		if insert && !given {
			return RandomString(), true
		}
	case f.Name == "updated_at", f.Name == "created_at" && insert && v == nil:
		if f.Type == Number {
			v, _ = number(float64(c.now.UnixMilli()) / 1000)
			return v, true
		}
		return c.now.Unix(), true
	}
	return v, given
}

// expiry turns ttl into the time when the entity ends.
func (s *Schema) expiry(in, out Object, why *Object, c *context) {
	ttl, given := in["ttl"]
	if !given {
		if at, ok := in[ExpiresAt]; ok {
			out[ExpiresAt], _ = number(at)
		} else if c.op == Update && c.stored[ExpiresAt] != nil {
			out[ExpiresAt] = c.stored[ExpiresAt]
		}
		return
	}
	if ttl == nil {
		return
	}
	n, _ := number(ttl)
	seconds, ok := n.(int64)
	switch {
	case !ok || seconds < 0 || seconds > maxTTL:
		if *why == nil {
			*why = Object{}
		}
		(*why)["ttl"] = msgTTL
	case seconds > 0:
		out[ExpiresAt], _ = number(float64(c.now.Add(time.Duration(seconds)*time.Second).UnixMilli()) / 1000)
	}
}

// Expiry returns when a stored entity of a TTL kind ends.
func Expiry(stored Object) (time.Time, bool) {
	at := stored[ExpiresAt]
	if at == nil {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(asFloat(at) * 1000)), true
}

// RandomString returns 32 letters and digits, as Kong makes keys and secrets.
func RandomString() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, 0, 32)
	var random [48]byte
	for {
		_, _ = rand.Read(random[:]) // never fails
		for _, b := range random {
			// 248 is the largest multiple of 62 in a byte: no letter is favoured.
			if b < 248 {
				out = append(out, letters[b%62])
			}
			if len(out) == 32 {
				return string(out)
			}
		}
	}
}

func newUUID() string { return uuid.New().String() }

// merge puts in over stored: records field by field, all else replaced.
func (r *record) merge(in, stored Object) Object {
	out := make(Object, len(stored)+len(in))
	maps.Copy(out, stored)
	for name, v := range in {
		f := r.index[name]
		top, ok := v.(Object)
		if f != nil && f.record != nil && ok {
			if bottom, ok := out[name].(Object); ok {
				v = f.record.merge(top, bottom)
			}
		}
		out[name] = v
	}
	return out
}
