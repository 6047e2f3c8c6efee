package audit

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// record is one line of a log on its way into the store.
type record struct {
	key  string
	body []byte
}

// RequestLine is a line of the log of requests, as it is kept.
type RequestLine struct {
	RequestID string `json:"request_id"`
	// At is in nanoseconds since 1970.
	At        int64  `json:"at"`
	ClientIP  string `json:"client_ip"`
	Method    string `json:"method"`
	Path      string `json:"path"`
	Status    int    `json:"status"`
	UserID    string `json:"user_id,omitempty"`
	UserName  string `json:"user_name,omitempty"`
	Workspace string `json:"workspace,omitempty"`
	// Revision that the request led to, 0 for none; Changes is how many objects it changed.
	Revision uint64 `json:"revision,omitempty"`
	Changes  int    `json:"changes,omitempty"`
	// Reason of a refusal.
	Reason string `json:"reason,omitempty"`
}

// ObjectLine is a line of the log of changed objects, as it is kept.
type ObjectLine struct {
	RequestID string `json:"request_id,omitempty"`
	At        int64  `json:"at"`
	ClientIP  string `json:"client_ip,omitempty"`
	Method    string `json:"method,omitempty"`
	Path      string `json:"path,omitempty"`
	UserID    string `json:"user_id,omitempty"`
	UserName  string `json:"user_name,omitempty"`
	Workspace string `json:"workspace,omitempty"`
	Summary   string `json:"summary,omitempty"`
	Revision  uint64 `json:"revision,omitempty"`
	Kind      string `json:"kind"`
	ID        string `json:"id"`
	Name      string `json:"name,omitempty"`
	Operation string `json:"operation"`
	// Entity is what is there now, or was before it was deleted, without its secrets.
	Entity string `json:"entity,omitempty"`
	// Removed are the paths of those, Changed the fields that an update changed.
	Removed []string `json:"removed,omitempty"`
	Changed []string `json:"changed,omitempty"`
	// More counts changes of the same transaction that are not recorded one by one.
	More int `json:"more,omitempty"`
}

// timeKey begins the key of a record: keys of later ones are smaller, and come first.
func timeKey(at time.Time) string {
	return fmt.Sprintf("%016x", math.MaxUint64-uint64(at.UnixNano()))
}

// nextKey makes keys of one time differ.
func (l *Log) nextKey(at time.Time) string {
	return timeKey(at) + fmt.Sprintf("-%08x", math.MaxUint32-l.serial.Add(1))
}

func (l *Log) requestRecord(r *Request, status int, why string) record {
	r.mu.Lock()
	line := RequestLine{
		RequestID: r.ID, At: r.At.UnixNano(), ClientIP: r.ClientIP, Method: r.Method, Path: short(r.Path), Status: status,
		UserID: r.UserID, UserName: r.UserName, Workspace: short(r.Workspace), Revision: r.revision, Changes: r.changes, Reason: why,
	}
	r.mu.Unlock()
	return l.encode(r.At, line)
}

func (l *Log) droppedRecord(n int64) record {
	at := l.o.Now()
	return l.encode(at, RequestLine{At: at.UnixNano(), Reason: fmt.Sprintf("%d requests came too fast to be recorded", n)})
}

func (l *Log) encode(at time.Time, line any) record {
	body, err := json.Marshal(line)
	if err != nil {
		panic(err) // texts and numbers always encode
	}
	return record{l.nextKey(at), body}
}

// longestPath bounds what a client can make a record hold.
const longestPath = 2048

func short(text string) string {
	if len(text) > longestPath {
		return text[:longestPath]
	}
	return text
}
