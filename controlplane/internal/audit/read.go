package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Query selects lines and pages. Lines come newest first.
type Query struct {
	Size   int // 0 means 100
	Offset string
	// After is the first time that counts, Before the first that does not any more.
	After, Before time.Time
	// Equal are values that fields of the answer must have, as text.
	Equal map[string]string
}

// Page is one page of lines as clients see them.
type Page struct {
	Lines []schema.Object
	// Next is the offset of the next page, "" for the last.
	Next string
	// Total is how many lines the log has.
	Total int
}

// ErrOffset means that an offset is not one that a page gave.
var ErrOffset = errors.New("no such offset")

// Requests returns a page of the log of requests.
func (l *Log) Requests(q Query) (Page, error) { return l.read(KindRequests, q, l.showRequest) }

// Objects returns a page of the log of changed objects.
func (l *Log) Objects(q Query) (Page, error) { return l.read(KindObjects, q, l.showObject) }

func (l *Log) read(kind string, q Query, show func(id string, body []byte) (schema.Object, error)) (page Page, err error) {
	if q.Size <= 0 {
		q.Size = 100
	}
	start := q.Offset
	if start != "" && (len(start) != len(timeKey(time.Time{}))+9 || strings.Trim(start, "0123456789abcdef-") != "") {
		return page, ErrOffset
	}
	if !q.Before.IsZero() && start == "" {
		// Keys count down: those of times before are larger than any key of this time.
		start = timeKey(q.Before) + "~"
	}
	oldest := ""
	if !q.After.IsZero() {
		oldest = timeKey(q.After) + "~"
	}
	page.Lines = []schema.Object{}
	last := ""
	err = l.o.Store.View(func(tx store.Tx) error {
		var failed error
		if page.Total, failed = tx.Count(kind); failed != nil {
			return failed
		}
		err := tx.List(kind, start, page.Total+1, func(id string, body []byte) bool {
			if oldest != "" && id > oldest {
				return false
			}
			line, err := show(id, body)
			if err != nil {
				failed = fmt.Errorf("%s %s: %w", kind, id, err)
				return false
			}
			if !q.matches(line) {
				return true
			}
			if len(page.Lines) == q.Size {
				page.Next = last
				return false
			}
			last = id
			page.Lines = append(page.Lines, line)
			return true
		})
		return errors.Join(err, failed)
	})
	if err != nil {
		return page, fmt.Errorf("read audit log: %w", err)
	}
	return page, nil
}

func (q *Query) matches(line schema.Object) bool {
	for name, want := range q.Equal {
		if got := line[name]; got == nil || fmt.Sprint(got) != want {
			return false
		}
	}
	return true
}

func (l *Log) showRequest(_ string, body []byte) (schema.Object, error) {
	var r RequestLine
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, err
	}
	return schema.Object{
		"request_id": null(r.RequestID), "request_timestamp": r.At / int64(time.Second), "ttl": l.ttl(r.At),
		"client_ip": null(r.ClientIP), "method": null(r.Method), "path": null(r.Path), "status": int64(r.Status),
		"rbac_user_id": null(r.UserID), "rbac_user_name": null(r.UserName), "workspace": null(r.Workspace),
		"payload": nil, "removed_from_payload": nil, "request_source": nil, "signature": nil,
		"revision": number(r.Revision), "changes": int64(r.Changes), "reason": null(r.Reason),
	}, nil
}

func (l *Log) showObject(id string, body []byte) (schema.Object, error) {
	var o ObjectLine
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, err
	}
	expire := o.At + l.o.MaxAge.Nanoseconds()
	return schema.Object{
		"id": id, "request_id": null(o.RequestID), "request_timestamp": o.At / int64(time.Second), "ttl": l.ttl(o.At),
		"expire": expire / int64(time.Millisecond), "dao_name": o.Kind, "entity_key": o.ID, "entity_name": null(o.Name),
		"operation": o.Operation, "entity": null(o.Entity), "removed_from_entity": list(o.Removed), "changed": list(o.Changed),
		"rbac_user_id": null(o.UserID), "rbac_user_name": null(o.UserName), "workspace": null(o.Workspace), "signature": nil,
		"client_ip": null(o.ClientIP), "method": null(o.Method), "path": null(o.Path), "summary": null(o.Summary),
		"revision": number(o.Revision), "more": int64(o.More),
	}, nil
}

// ttl is how many seconds a record is kept yet.
func (l *Log) ttl(at int64) int64 {
	return max(0, int64(time.Unix(0, at).Add(l.o.MaxAge).Sub(l.o.Now())/time.Second))
}

func null(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func number(n uint64) any {
	if n == 0 {
		return nil
	}
	return int64(n)
}

func list(texts []string) any {
	if len(texts) == 0 {
		return nil
	}
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

// ParseTime reads a time of a query: seconds since 1970, or as in RFC 3339.
func ParseTime(text string) (time.Time, error) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds >= 0 && seconds < 1<<33 {
		return time.Unix(seconds, 0), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, errors.New("expected seconds since 1970, or a time such as 2026-01-31T12:00:00Z")
	}
	return at, nil
}
