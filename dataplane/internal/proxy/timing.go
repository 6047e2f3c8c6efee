package proxy

import (
	"crypto/subtle"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// The headers by which a client asks what its request spends its time on, and the answer's.
const (
	debugHeader       = "X-Kong-Request-Debug"
	debugHeaderToken  = debugHeader + "-Token"
	debugHeaderLog    = debugHeader + "-Log"
	debugHeaderOutput = debugHeader + "-Output"
)

// maxDebugOutput is how long the header may be for clients on other machines: what is
// between may not take more.
const maxDebugOutput = 2 << 10

// timing is what an exchange spends its time on, as a tree. Exchanges that are not asked
// about have none, and all methods do nothing then.
type timing struct {
	root, at *moment
	log      bool // the client wants it in the log, too
	local    bool // the client is on this machine
}

// moment is a node of the tree. What is done several times is one node.
type moment struct {
	name  string
	above *moment
	below []*moment
	began time.Time
	total time.Duration
}

// asked takes the headers that ask off the request, and begins to measure when they may ask:
// from this machine, or with the node's token.
func (w *walk) asked(x *pdk.Exchange) {
	h := &x.Request.Header
	fields, found := h.Fields(), false
	for i := range fields {
		if n := len(fields[i].Name); n >= len(debugHeader) && n <= len(debugHeaderToken) && pdk.EqualFold(fields[i].Name[:len(debugHeader)], debugHeader) {
			found = true
		}
	}
	if !found {
		return
	}
	what, token, log := h.Get(debugHeader), h.Get(debugHeaderToken), h.Get(debugHeaderLog)
	for _, name := range []string{debugHeader, debugHeaderToken, debugHeaderLog} {
		h.Del(name)
	}
	local := x.Request.Client.Addr().Unmap().IsLoopback()
	if what != "*" || !local && (w.p.o.DebugToken == "" || subtle.ConstantTimeCompare([]byte(token), []byte(w.p.o.DebugToken)) == 0) {
		return
	}
	root := &moment{}
	w.timing = &timing{root: root, at: root, log: log == "true", local: local}
}

// enter begins a part of what is measured.
func (t *timing) enter(name string) {
	if t == nil {
		return
	}
	t.at = t.at.part(name)
	t.at.began = time.Now()
}

func (m *moment) part(name string) *moment {
	for _, b := range m.below {
		if b.name == name {
			return b
		}
	}
	b := &moment{name: name, above: m}
	m.below = append(m.below, b)
	return b
}

// leave ends the part that was begun last.
func (t *timing) leave() {
	if t == nil {
		return
	}
	t.at.total += time.Since(t.at.began)
	t.at = t.at.above
}

// plugin begins the part of a plugin's config.
func (t *timing) plugin(i *plan.Instance) {
	t.enter("plugins")
	t.enter(i.Plugin.Name)
	t.enter(i.Entity.ID)
}

func (t *timing) leavePlugin() {
	t.leave()
	t.leave()
	t.leave()
}

// upstream adds what the last try waited for, and what the body took once all is done.
func (t *timing) upstream(x *pdk.Exchange) {
	if len(x.Tries) == 0 || x.UpstreamFirst.IsZero() {
		return
	}
	up := t.root.part("upstream")
	first := up.part("time_to_first_byte")
	first.total = x.UpstreamFirst.Sub(x.UpstreamSent)
	if up.total = first.total; !x.Done.IsZero() {
		body := up.part("streaming")
		body.total = x.Done.Sub(x.UpstreamFirst)
		up.total += body.total
	}
}

// header puts the tree into the answer.
func (t *timing) header(x *pdk.Exchange) {
	if t == nil {
		return
	}
	t.upstream(x)
	out := t.text(x)
	if len(out) >= maxDebugOutput && !t.local {
		t.log = true
		out = `{"truncated":true,"request_id":"` + x.ID + `","message":"the output is too long for a header: the log has it, under this request_id"}`
	}
	x.Response.Header.Set(debugHeaderOutput, out)
}

// report logs the tree when that is wanted.
func (w *walk) report(x *pdk.Exchange) {
	if t := w.timing; t != nil && t.log {
		t.upstream(x)
		w.p.log.Info("[request-debug]", "request_id", strings.Clone(x.ID), "output", t.text(x))
	}
}

// text is the tree as JSON, with whole milliseconds.
func (t *timing) text(x *pdk.Exchange) string {
	b := append([]byte(`{"request_id":"`), x.ID...)
	b = append(b, '"')
	if x.Workspace != "" {
		b = pdk.AppendQuoted(append(b, `,"workspace_id":`...), x.Workspace)
	}
	return string(append(t.root.children(b), '}'))
}

func (m *moment) children(b []byte) []byte {
	if len(m.below) == 0 {
		return b
	}
	b = append(b, `,"child":{`...)
	for i, c := range m.below {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(pdk.AppendQuoted(b, c.name), `:{"total_time":`...)
		b = strconv.AppendInt(b, c.total.Milliseconds(), 10)
		b = append(c.children(b), '}')
	}
	return append(b, '}')
}
