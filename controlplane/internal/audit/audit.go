// Package audit keeps the audit log: who did what to the configuration, when, from where,
// and what was refused. It owns the records, how long they are kept and what of a secret
// is in them, which is nothing.
//
// There are two logs, in the form of Kong Enterprise's. Changed objects are recorded in
// the transaction that changes them, by a store that wraps another: there is no change
// without its record, and no second commit. Requests are recorded once they are answered,
// in batches, so that no request waits for its record. Both are kinds of the store that are
// not streamed; the newest record is the first.
package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
)

// Kinds of the two logs in the store.
const (
	KindRequests = "audit_requests"
	KindObjects  = "audit_objects"
)

// Defaults of Options.
const (
	DefaultMaxAge     = 30 * 24 * time.Hour
	DefaultMaxRecords = 100_000
)

const (
	// mostObjects bounds the records of one transaction: more changes are only counted.
	mostObjects = 1000
	// queueSize bounds the requests whose record is not written yet.
	queueSize     = 4096
	flushEvery    = time.Second
	pruneEvery    = time.Minute
	pruneBatch    = 2000
	longestRecord = 64 << 10
)

// Options of a Log. Store and Kinds are required.
type Options struct {
	Store store.Store
	// Kinds tell which fields are secret.
	Kinds *entity.Kinds
	// MaxAge of a record, 0 means 30 days; MaxRecords in each log, 0 means 100,000.
	MaxAge     time.Duration
	MaxRecords int
	// IgnoreMethods, IgnorePaths and IgnoreKinds are not recorded. A path that ends in *
	// stands for what begins so. Refused requests are recorded whatever these say.
	IgnoreMethods, IgnorePaths, IgnoreKinds []string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Log is an audit log. It is safe for concurrent use. Run writes what is waiting.
type Log struct {
	o     Options
	log   hclog.Logger
	queue chan record
	// dropped counts requests for whose record there was no room.
	dropped atomic.Int64
	serial  atomic.Uint32
}

// New makes an audit log on a store.
func New(o Options) (*Log, error) {
	if o.Store == nil || o.Kinds == nil {
		return nil, errors.New("audit log needs a store and kinds")
	}
	if o.MaxAge <= 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.MaxRecords <= 0 {
		o.MaxRecords = DefaultMaxRecords
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return &Log{o: o, log: o.Logger, queue: make(chan record, queueSize)}, nil
}

// Request is one request to the Admin API, as far as it is known.
type Request struct {
	ID, Method, Path, ClientIP string
	At                         time.Time
	// UserID and UserName are those of the token; both may be empty.
	UserID, UserName string
	Workspace        string

	mu       sync.Mutex
	revision uint64
	changes  int
}

// changed notes what a transaction of the request did.
func (r *Request) changed(revision uint64, changes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision = max(r.revision, revision)
	r.changes += changes
}

// Changed tells how many objects the request has changed.
func (r *Request) Changed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changes
}

type key struct{}

// With returns a context by which the store knows on whose behalf it is written.
func With(ctx context.Context, r *Request) context.Context { return context.WithValue(ctx, key{}, r) }

// From returns the request of a context, nil for none: the control plane acts by itself.
func From(ctx context.Context) *Request {
	r, _ := ctx.Value(key{}).(*Request)
	return r
}

// Answered records a request that was answered. why is the reason of a refusal, "" for
// none.
func (l *Log) Answered(r *Request, status int, why string) {
	denied := status == 401 || status == 403 || status == 429
	if !denied && r.Changed() == 0 && (slices.Contains(l.o.IgnoreMethods, r.Method) || ignored(l.o.IgnorePaths, r.Path)) {
		return
	}
	select {
	case l.queue <- l.requestRecord(r, status, why):
	default:
		l.dropped.Add(1)
	}
}

func ignored(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if start, ok := strings.CutSuffix(p, "*"); ok {
			return strings.HasPrefix(path, start)
		}
		return path == p || path == p+"/"
	})
}

// Run writes the records of requests and drops old ones, until ctx ends. What is waiting
// then is still written.
func (l *Log) Run(ctx context.Context) error {
	flush, prune := time.NewTicker(flushEvery), time.NewTicker(pruneEvery)
	defer flush.Stop()
	defer prune.Stop()
	warn := func(what string, err error) {
		if err != nil {
			l.log.Warn(what, "error", err)
		}
	}
	warn("old audit records are not dropped", l.Prune(ctx))
	for {
		select {
		case <-ctx.Done():
			warn("audit records are lost", l.Flush(context.WithoutCancel(ctx)))
			return nil
		case <-flush.C:
			warn("audit records are lost", l.Flush(ctx))
		case <-prune.C:
			warn("old audit records are not dropped", l.Prune(ctx))
		}
	}
}

// Flush writes the records of requests that are waiting.
func (l *Log) Flush(ctx context.Context) error {
	for len(l.queue) > 0 || l.dropped.Load() > 0 {
		batch := make([]record, 0, min(len(l.queue)+1, 512))
		for len(batch) < cap(batch)-1 && len(l.queue) > 0 {
			batch = append(batch, <-l.queue)
		}
		if n := l.dropped.Swap(0); n > 0 {
			batch = append(batch, l.droppedRecord(n))
		}
		_, err := l.o.Store.Update(ctx, store.Info{Summary: "audit log"}, func(tx store.WriteTx) error {
			for _, r := range batch {
				if err := tx.PutLocal(KindRequests, r.key, r.body, nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write audit log: %w", err)
		}
	}
	return nil
}

// Prune drops records that are too old or too many.
func (l *Log) Prune(ctx context.Context) error {
	for _, kind := range []string{KindRequests, KindObjects} {
		for {
			ids, err := l.excess(kind)
			if err != nil {
				return fmt.Errorf("read audit log: %w", err)
			}
			if len(ids) == 0 {
				break
			}
			if _, err := l.o.Store.Update(ctx, store.Info{Summary: "audit log"}, func(tx store.WriteTx) error {
				for _, id := range ids {
					if err := tx.DeleteLocal(kind, id); err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
				}
				return nil
			}); err != nil {
				return fmt.Errorf("prune audit log: %w", err)
			}
		}
	}
	return nil
}

// excess returns ids of records that are to be dropped, up to a batch of them.
func (l *Log) excess(kind string) (ids []string, err error) {
	take := func(id string, _ []byte) bool {
		ids = append(ids, id)
		return len(ids) < pruneBatch
	}
	err = l.o.Store.View(func(tx store.Tx) error {
		// Keys count down, so that everything after this one is older.
		if err := tx.List(kind, timeKey(l.o.Now().Add(-l.o.MaxAge)), pruneBatch, take); err != nil {
			return err
		}
		n, err := tx.Count(kind)
		if err != nil || len(ids) > 0 || n <= l.o.MaxRecords {
			return err
		}
		skip := l.o.MaxRecords
		return tx.List(kind, "", n, func(id string, body []byte) bool {
			if skip > 0 {
				skip--
				return true
			}
			return take(id, body)
		})
	})
	return ids, err
}
