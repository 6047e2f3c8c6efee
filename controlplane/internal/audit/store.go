package audit

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Store returns a store that records what is changed through it. The change sets of it
// name who asked for them.
func (l *Log) Store() store.Store { return &recorded{Store: l.o.Store, log: l} }

// Attributed returns a store whose change sets name who asked for them, and which records
// nothing: what there is when the audit log is off.
func Attributed(st store.Store) store.Store { return &recorded{Store: st} }

type recorded struct {
	store.Store
	log *Log // nil records nothing
}

// Update implements store.Store.
func (s *recorded) Update(ctx context.Context, info store.Info, fn func(store.WriteTx) error) (store.Position, error) {
	r := attribute(ctx, &info)
	if s.log == nil {
		return s.Store.Update(ctx, info, fn) //nolint:wrapcheck // it is the store's
	}
	return s.Store.Update(ctx, info, func(tx store.WriteTx) error { //nolint:wrapcheck // it is the store's
		w := s.log.writes(tx, r)
		if err := fn(w); err != nil {
			return err
		}
		return s.log.record(tx, w, r, info)
	})
}

// Load implements store.Store.
func (s *recorded) Load(ctx context.Context, info store.Info, fn func(store.BulkTx) error) (store.Position, error) {
	r := attribute(ctx, &info)
	if s.log == nil {
		return s.Store.Load(ctx, info, fn) //nolint:wrapcheck // it is the store's
	}
	return s.Store.Load(ctx, info, func(tx store.BulkTx) error { //nolint:wrapcheck // it is the store's
		w := s.log.writes(tx, r)
		if err := fn(&bulkWrites{w, tx}); err != nil {
			return err
		}
		return s.log.record(tx, w, r, info)
	})
}

// attribute says in a change set who asked for it.
func attribute(ctx context.Context, info *store.Info) *Request {
	r := From(ctx)
	if r != nil && info.Actor == "" {
		info.Actor = r.UserName
	}
	return r
}

func (l *Log) writes(tx store.WriteTx, r *Request) *writes {
	return &writes{WriteTx: tx, ignores: func(kind string) bool { return l.ignores(kind, r) }}
}

// ignores tells whether changes of a kind are not recorded. What nodes write while they
// serve, such as tokens of OAuth 2.0, is not somebody's change of the configuration.
func (l *Log) ignores(kind string, r *Request) bool {
	if slices.Contains(l.o.IgnoreKinds, kind) {
		return true
	}
	def := l.o.Kinds.ByKind(kind)
	return r == nil && def != nil && def.Schema.Runtime
}

// writes notes what a transaction writes.
type writes struct {
	store.WriteTx
	ignores func(kind string) bool
	seen    map[object]int // index in touched
	// touched objects in the order of their first write, with what they were before.
	touched []touched
	// more counts those that there was no room for.
	more     int
	streamed bool
}

type object struct{ kind, id string }

type touched struct {
	object
	before []byte
	local  bool
	// merged ones are read no more: after is what they are then.
	merged bool
	after  []byte
}

func (w *writes) touch(kind, id string, local bool) {
	o := object{kind, id}
	if !w.room(o, local) {
		return
	}
	before, err := w.Get(kind, id)
	if err != nil {
		before = nil
	}
	w.note(touched{object: o, before: slices.Clone(before), local: local})
}

// room tells whether a write is to be noted.
func (w *writes) room(o object, local bool) bool {
	if _, known := w.seen[o]; known || w.ignores(o.kind) {
		return false
	}
	if len(w.touched) >= mostObjects {
		w.more++
		w.streamed = w.streamed || !local
		return false
	}
	return true
}

func (w *writes) note(t touched) {
	if w.seen == nil {
		w.seen = map[object]int{}
	}
	w.seen[t.object] = len(w.touched)
	w.touched = append(w.touched, t)
}

// bulkWrites notes what a Load changes.
type bulkWrites struct {
	*writes
	bulk store.BulkTx
}

func (w *bulkWrites) Add(kind, id string, body []byte, indexes []store.Index) error {
	return w.bulk.Add(kind, id, body, indexes)
}

func (w *bulkWrites) Merge(kinds []string, keep func(kind, id string, body []byte) (bool, error), changed func(kind, id string, before, after []byte) error) error {
	return w.bulk.Merge(kinds, keep, func(kind, id string, before, after []byte) error {
		if o := (object{kind, id}); w.room(o, false) {
			w.note(touched{object: o, before: slices.Clone(before), merged: true, after: slices.Clone(after)})
		}
		return changed(kind, id, before, after)
	})
}

func (w *writes) Put(kind, id string, body []byte, indexes []store.Index) error {
	w.touch(kind, id, false)
	return w.WriteTx.Put(kind, id, body, indexes)
}

func (w *writes) Delete(kind, id string) error {
	w.touch(kind, id, false)
	return w.WriteTx.Delete(kind, id)
}

func (w *writes) PutLocal(kind, id string, body []byte, indexes []store.Index) error {
	w.touch(kind, id, true)
	return w.WriteTx.PutLocal(kind, id, body, indexes)
}

func (w *writes) DeleteLocal(kind, id string) error {
	w.touch(kind, id, true)
	return w.WriteTx.DeleteLocal(kind, id)
}

// record writes the lines of what a transaction changed.
func (l *Log) record(tx store.WriteTx, w *writes, r *Request, info store.Info) error {
	at := l.o.Now()
	var lines []ObjectLine
	streamed := w.streamed
	for _, t := range w.touched {
		after := t.after
		if !t.merged {
			var err error
			if after, err = tx.Get(t.kind, t.id); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		line := ObjectLine{At: at.UnixNano(), Summary: info.Summary, Kind: t.kind, ID: t.id}
		switch {
		case t.before == nil && after == nil, t.before != nil && string(t.before) == string(after):
			continue
		case t.before == nil:
			line.Operation = "create"
		case after == nil:
			line.Operation = "delete"
		default:
			line.Operation = "update"
		}
		streamed = streamed || !t.local
		l.describe(&line, t.before, after)
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return nil
	}
	lines[len(lines)-1].More = w.more
	revision := tx.Position().Revision
	if streamed {
		revision++ // the store counts it up when the transaction ends
	}
	for i := range lines {
		line := &lines[i]
		line.Revision = revision
		if r != nil {
			line.RequestID, line.ClientIP, line.Method, line.Path = r.ID, r.ClientIP, r.Method, short(r.Path)
			line.UserID, line.UserName, line.Workspace = r.UserID, r.UserName, short(r.Workspace)
		}
		rec := l.encode(at, line)
		if err := tx.PutLocal(KindObjects, rec.key, rec.body, nil); err != nil {
			return err
		}
	}
	if r != nil {
		r.changed(revision, len(lines)+w.more)
	}
	return nil
}

// describe puts what can be said of an object into its line.
func (l *Log) describe(line *ObjectLine, before, after []byte) {
	body := after
	if body == nil {
		body = before
	}
	o, err := schema.DecodeObject(body)
	if err != nil {
		return
	}
	for _, field := range []string{"name", "username", "prefix", "key", "target", "group", "custom_id"} {
		if name, ok := o[field].(string); ok && name != "" && !secretName(line.Kind, field) {
			line.Name = name
			break
		}
	}
	if before != nil && after != nil {
		if was, err := schema.DecodeObject(before); err == nil {
			line.Changed = differing(was, o)
		}
	}
	masked, removed := Mask(l.o.Kinds, line.Kind, o)
	text, err := schema.EncodeJSON(masked)
	if err != nil || len(text) > longestRecord {
		return
	}
	line.Entity, line.Removed = string(text), removed
}

// differing returns the names of the fields that differ.
func differing(a, b schema.Object) []string {
	var out []string
	names := map[string]bool{}
	for name := range a {
		names[name] = true
	}
	for name := range b {
		names[name] = true
	}
	for _, name := range slices.SortedFunc(maps.Keys(names), strings.Compare) {
		x, errX := schema.EncodeJSON(a[name])
		y, errY := schema.EncodeJSON(b[name])
		if errX != nil || errY != nil || string(x) != string(y) {
			out = append(out, name)
		}
	}
	return out
}
