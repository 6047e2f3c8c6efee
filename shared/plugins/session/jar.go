package session

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const (
	// maxCookie is the longest cookie that browsers keep.
	maxCookie = 4096
	// writeTimeout bounds how long a client waits for the control plane.
	writeTimeout = 5 * time.Second
)

var errCookie = errors.New("the session is too large for a cookie; use storage kong")

// jar is one of the two cookies: its words, how long it lives and where its sessions are.
type jar struct {
	name string
	span
	// attributes end a Set-Cookie line; lasting cookies outlive the browser's session.
	attributes string
	lasting    bool
	seal       *seal
	// control keeps sessions at the control plane, nil keeps them in the cookie.
	control  pdk.Control
	staleTTL int64
}

// cookie returns the value of the jar's cookie, "" for none.
func (j *jar) cookie(h *pdk.Header) string {
	fields := h.Fields()
	for i := range fields {
		if !pdk.EqualFold(fields[i].Name, "Cookie") {
			continue
		}
		for part := range strings.SplitSeq(fields[i].Value, ";") {
			if name, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok && name == j.name {
				return value
			}
		}
	}
	return ""
}

// load returns the session that a request shows, nil for none that is good.
func (j *jar) load(x *pdk.Exchange, audience string, now int64) *state {
	text := j.cookie(&x.Request.Header)
	if text == "" {
		return nil
	}
	s, err := j.seal.open(text, j.name)
	if err != nil {
		return nil
	}
	if j.control != nil {
		stored := j.stored(x, s.ID)
		if stored == nil {
			return nil
		}
		if s, err = j.seal.open(stored.Data, s.ID); err != nil {
			return nil
		}
	}
	if s.Audience != audience || s.ended(j.span, now) {
		return nil
	}
	return s
}

func (j *jar) stored(x *pdk.Exchange, id string) *Stored {
	s, _ := x.View.ByKey(Sessions, "session_id", id).(*Stored)
	if s == nil || s.ExpiresAt > 0 && float64(x.Start.UnixMilli()) >= s.ExpiresAt*1000 {
		return nil
	}
	return s
}

// save keeps a session and returns the Set-Cookie line for it. old is the id of the
// session that it replaces, "" for none.
func (j *jar) save(x *pdk.Exchange, s *state, old string, now int64) (string, error) {
	value := ""
	if j.control == nil {
		value = j.seal.close(s, j.name)
	} else {
		value = j.seal.close(&state{ID: s.ID}, j.name)
		if err := j.write(x, s, old, now); err != nil {
			return "", err
		}
	}
	line := j.name + "=" + value + j.attributes
	if j.lasting {
		if n, ends := s.remaining(j.span, now); ends {
			line += "; Expires=" + time.Unix(now+n, 0).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") + "; Max-Age=" + strconv.FormatInt(n, 10)
		}
	}
	if len(line) > maxCookie {
		return "", errCookie
	}
	return line, nil
}

// write stores a session at the control plane.
func (j *jar) write(x *pdk.Exchange, s *state, old string, now int64) error {
	body, ttl := j.body(s, now)
	if ttl == 0 {
		return nil // it has ended
	}
	writes := []pdk.EntityWrite{{Op: pdk.WriteInsert, Kind: Sessions.Kind(), Body: body}}
	if before := j.stored(x, old); old != "" && before != nil {
		w := pdk.EntityWrite{Op: pdk.WriteUpdate, Kind: Sessions.Kind(), ID: before.ID}
		if j.staleTTL > 0 {
			w.Body = encode(schema.Object{"expires": now + j.staleTTL, "ttl": j.staleTTL})
		} else {
			w.Op = pdk.WriteDelete
		}
		writes = append(writes, w)
	}
	return j.ask(context.Background(), writes...)
}

// body is a session as it is stored, and how long, -1 for ever.
func (j *jar) body(s *state, now int64) (body []byte, ttl int64) {
	o := schema.Object{"session_id": s.ID, "data": j.seal.close(s, s.ID)}
	ttl, ends := s.remaining(j.span, now)
	if ends {
		o["ttl"], o["expires"] = ttl, now+ttl
	} else {
		ttl = -1
	}
	return encode(o), ttl
}

func encode(o schema.Object) []byte {
	b, err := schema.EncodeJSON(o)
	if err != nil {
		panic(err) // strings and numbers
	}
	return b
}

func (j *jar) ask(ctx context.Context, writes ...pdk.EntityWrite) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := j.control.Write(ctx, writes...); err != nil {
		return fmt.Errorf("have a session written: %w", err)
	}
	return nil
}

// remove forgets what the request's cookie leads to, whether it is good or not.
func (j *jar) remove(x *pdk.Exchange) error {
	if j.control == nil {
		return nil
	}
	s, err := j.seal.open(j.cookie(&x.Request.Header), j.name)
	if err != nil {
		return nil //nolint:nilerr // what can not be opened leads nowhere
	}
	stored := j.stored(x, s.ID)
	if stored == nil {
		return nil
	}
	err = j.ask(context.Background(), pdk.EntityWrite{Op: pdk.WriteDelete, Kind: Sessions.Kind(), ID: stored.ID})
	if errors.Is(err, pdk.ErrWriteGone) {
		return nil
	}
	return err
}

// expired returns the Set-Cookie line that takes the cookie away.
func (j *jar) expired() string {
	return j.name + "=" + j.attributes + "; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0"
}
