package catalog

import (
	"bytes"
	"errors"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// pending is an entity on its way through process.
type pending struct {
	index  int
	text   []byte        // as it was given
	given  schema.Object // the same
	in     schema.Object // with its references and its id
	id     string
	stored schema.Object // what it replaces, nil for nothing
	out    schema.Object
	body   []byte
	err    error // why it is refused
}

// batch is how many entities are processed together.
const batch = 256

// processAll checks and completes the entities of a kind, on all processors: most of the
// time goes there.
func (r *replacing) processAll(k *kind, entities Declared) error {
	var list []*pending
	flush := func() error {
		err := r.processBatch(k, list)
		list = list[:0]
		return err
	}
	if err := entities.Each(k.name, func(i int, entity []byte) error {
		list = append(list, &pending{index: i, text: bytes.Clone(entity)})
		if len(list) < batch {
			return nil
		}
		return flush()
	}); err != nil {
		return err
	}
	return flush()
}

// processBatch leaves what depends on the entities before to one goroutine.
func (r *replacing) processBatch(k *kind, list []*pending) error {
	if err := inParallel(list, func(p *pending) (err error) {
		p.given, err = schema.DecodeObject(p.text)
		p.text = nil
		return err
	}); err != nil {
		return err
	}
	for _, p := range list {
		if err := r.address(k, p); err != nil {
			return err
		}
	}
	if err := inParallel(list, func(p *pending) error {
		if p.err == nil {
			p.err = r.process(k, p)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, p := range list {
		if p.err == nil {
			p.err = r.checkOrdering(k, p.out)
		}
		if p.err == nil {
			p.err = r.unique(k, p.out)
		}
		if p.err != nil {
			r.fail(k, p.index, p.given, p.err)
			continue
		}
		if err := r.add(k, p.id, p.out, p.body); err != nil {
			return err
		}
	}
	return nil
}

// inParallel calls fn for each, from as many goroutines as there are processors. It returns
// one of their errors.
func inParallel(list []*pending, fn func(*pending) error) error {
	workers := min(runtime.GOMAXPROCS(0), len(list))
	if workers < 2 {
		for _, p := range list {
			if err := fn(p); err != nil {
				return err
			}
		}
		return nil
	}
	var wait sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, workers)
	for w := range workers {
		wait.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(list)) && errs[w] == nil; i = next.Add(1) - 1 {
				errs[w] = fn(list[i])
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// address finds what an entity refers to, its id, and what has that id now. Its error is
// the store's.
func (r *replacing) address(k *kind, p *pending) error {
	in := maps.Clone(p.given) // only fields at the top are set
	var missing unresolved
	for _, f := range k.foreign {
		ref := in[f.field]
		if ref == nil {
			continue
		}
		id, ok := r.resolve(f.target, ref)
		switch {
		case ok:
			in[f.field] = schema.Object{"id": id}
		case id != "":
			p.err = foreignKeyViolation(f.field, f.target.name, id)
			return nil
		default:
			member, value := describe(f.target, ref)
			missing.add(f.field, member, value, f.target.name)
		}
	}
	if p.err = missing.err(); p.err != nil {
		return nil
	}
	id := r.names[k.name].id(p.index)
	if id == "" {
		var err error
		if id, err = r.nameless(k, p, in); err != nil || p.err != nil {
			return err
		}
	}
	in[k.pk] = id
	stored, err := k.load(r.tx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if stored != nil && !k.in(stored, r.c.workspace) {
		p.err = r.elsewhere(k, id, p.given, stored)
		return nil
	}
	p.in, p.id, p.stored = in, id, stored
	return nil
}

// process checks and completes one entity, whatever others there are.
func (r *replacing) process(k *kind, p *pending) (err error) {
	if p.out, err = k.schema.Process(p.in, r.op, p.stored); err != nil {
		return err
	}
	r.c.place(k, p.out)
	if err := r.c.check(k, p.out); err != nil {
		return err
	}
	p.body, err = k.schema.Encode(p.out)
	return err
}
