// Package session is the plugin session: who has shown a good credential once is known
// by a cookie afterwards. It goes together with an authentication plugin that has an
// anonymous consumer, and owns the kind sessions.
//
// The cookie is encrypted and signed. With storage cookie it holds the session; with
// storage kong it holds its number, and the session is an entity that the control plane
// writes and all nodes have: it can be ended, at once and everywhere. A session ends when
// it was not used for idling_timeout, was not renewed within rolling_timeout, or is as old
// as absolute_timeout; nodes note once a minute that it is used.
//
// While the control plane is away, sessions of storage kong stay good, none begin, and
// ending one answers 503, as it would not be true.
package session

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/auth"
	"github.com/sluice-gateway/sluice/shared/pdk/payload"
)

const (
	storageCookie = "cookie"
	storageKong   = "kong"

	headerGroups = "X-Authenticated-Groups"
	// maxBody bounds a body that is looked at for logout, in bytes.
	maxBody = 1 << 20
	// maxTouches bounds the sessions that are to be noted as used; more are noted later.
	maxTouches = 1024
)

// Plugin is session.
var Plugin = &pdk.Plugin{
	Name:     "session",
	Priority: 1900,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
	Entities: []*entity.Def{Sessions},
}

type config struct {
	Secret                  string   `json:"secret"`
	Storage                 string   `json:"storage"`
	Audience                string   `json:"audience"`
	IdlingTimeout           float64  `json:"idling_timeout"`
	RollingTimeout          float64  `json:"rolling_timeout"`
	AbsoluteTimeout         float64  `json:"absolute_timeout"`
	StaleTTL                float64  `json:"stale_ttl"`
	CookieName              string   `json:"cookie_name"`
	CookiePath              string   `json:"cookie_path"`
	CookieDomain            string   `json:"cookie_domain"`
	CookieSameSite          string   `json:"cookie_same_site"`
	CookieHTTPOnly          bool     `json:"cookie_http_only"`
	CookieSecure            bool     `json:"cookie_secure"`
	Remember                bool     `json:"remember"`
	RememberCookieName      string   `json:"remember_cookie_name"`
	RememberRollingTimeout  float64  `json:"remember_rolling_timeout"`
	RememberAbsoluteTimeout float64  `json:"remember_absolute_timeout"`
	ResponseHeaders         []string `json:"response_headers"`
	RequestHeaders          []string `json:"request_headers"`
	ReadBodyForLogout       bool     `json:"read_body_for_logout"`
	LogoutMethods           []string `json:"logout_methods"`
	LogoutQueryArg          string   `json:"logout_query_arg"`
	LogoutPostArg           string   `json:"logout_post_arg"`
}

type plugin struct {
	config
	jar, remembered jar
	slot            int
	touches         chan touch
	log             hclog.Logger
}

// touch is a stored session that was used.
type touch struct {
	id   string // of the entity
	body []byte
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	if c.Secret == "" {
		c.Secret = defaultSecret
	}
	seal, err := newSeal(c.Secret)
	if err != nil {
		return pdk.Phases{}, err
	}
	p := &plugin{config: c, slot: env.Slot(), log: env.Logger().With("plugin_id", env.PluginID())}
	p.jar = jar{
		name: c.CookieName, span: span{seconds(c.IdlingTimeout), seconds(c.RollingTimeout), seconds(c.AbsoluteTimeout)},
		attributes: attributes(&c), seal: seal, staleTTL: seconds(c.StaleTTL),
	}
	p.remembered = p.jar
	p.remembered.name, p.remembered.lasting, p.remembered.staleTTL = c.RememberCookieName, true, 0
	p.remembered.span = span{rolling: seconds(c.RememberRollingTimeout), absolute: seconds(c.RememberAbsoluteTimeout)}
	if c.Storage == storageKong {
		p.jar.control, p.remembered.control = env.Control(), env.Control()
		p.touches = make(chan touch, maxTouches)
		env.Go(p.touch)
	}
	return pdk.Phases{Access: p.access, HeaderFilter: p.headerFilter}, nil
}

// attributes end a Set-Cookie line.
func attributes(c *config) string {
	var b strings.Builder
	add := func(name, value string) {
		if value != "" {
			b.WriteString("; " + name + "=" + value)
		}
	}
	add("Path", c.CookiePath)
	add("Domain", c.CookieDomain)
	if c.CookieSameSite != "Default" {
		add("SameSite", c.CookieSameSite)
	}
	if c.CookieSecure {
		b.WriteString("; Secure")
	}
	if c.CookieHTTPOnly {
		b.WriteString("; HttpOnly")
	}
	return b.String()
}

// visit is what one exchange knows of its session.
type visit struct {
	state *state
	lines []string // Set-Cookie
}

func (p *plugin) access(x *pdk.Exchange) error {
	now := x.Start.Unix()
	s := p.jar.load(x, p.Audience, now)
	var long *state
	if p.Remember {
		long = p.remembered.load(x, p.Audience, now)
	}
	if s == nil && long == nil {
		return nil
	}
	if p.wantsLogout(x) {
		return p.logout(x)
	}
	v := &visit{state: s}
	*x.Slot(p.slot) = v
	if s == nil { // the browser's session has ended, and is taken up again
		v.state = p.begin(long, now)
		v.lines = p.keep(x, v.state, "", now)
	}
	consumer := auth.Consumer(x, v.state.Consumer)
	if consumer == nil {
		v.state = nil
		if err := errors.Join(p.jar.remove(x), p.remembered.remove(x)); err != nil {
			p.log.Warn("session of a consumer that is gone stays", "error", err)
		}
		v.lines = []string{p.jar.expired()}
		return nil
	}
	if s != nil {
		p.refresh(x, v, now)
	}
	v.state.tell(x, &x.Request.Header, p.RequestHeaders, p.jar.span, now)
	auth.Succeed(x, consumer, pdk.Credential{ID: v.state.Credential, ConsumerID: consumer.ID, Key: v.state.Credential})
	x.Groups = v.state.Groups
	if len(x.Groups) > 0 {
		x.Request.Header.Set(headerGroups, strings.Join(x.Groups, ", "))
	} else {
		x.Request.Header.Del(headerGroups)
	}
	return nil
}

// begin makes a new session of another one.
func (p *plugin) begin(s *state, now int64) *state {
	next := *s
	next.ID, next.Created, next.Rolled, next.Touched = newID(), now, now, now
	return &next
}

// keep saves a session in both jars that are used and returns the Set-Cookie lines.
func (p *plugin) keep(x *pdk.Exchange, s *state, old string, now int64) []string {
	line, err := p.jar.save(x, s, old, now)
	if err != nil {
		p.log.Error("session is not kept", "error", err)
		return nil
	}
	lines := []string{line}
	if !p.Remember {
		return lines
	}
	before := p.remembered.load(x, p.Audience, now)
	if before != nil && before.Consumer == s.Consumer && before.Credential == s.Credential && !before.worn(p.remembered.span, now) {
		return lines
	}
	long, oldLong := *s, ""
	long.ID, long.Rolled, long.Touched, long.Created = newID(), now, now, now
	if before != nil {
		oldLong = before.ID
		if before.Consumer == s.Consumer {
			long.Created = before.Created
		}
	}
	if line, err = p.remembered.save(x, &long, oldLong, now); err != nil {
		p.log.Error("session is not remembered", "error", err)
		return lines
	}
	return append(lines, line)
}

// refresh renews a session that is worn, and notes that it is used.
func (p *plugin) refresh(x *pdk.Exchange, v *visit, now int64) {
	switch s := v.state; {
	case s.worn(p.jar.span, now):
		next := *s
		next.ID, next.Rolled, next.Touched = newID(), now, now
		if lines := p.keep(x, &next, s.ID, now); lines != nil {
			v.state, v.lines = &next, lines
		}
	case s.stale(p.jar.span, now):
		s.Touched = now
		if p.touches == nil {
			if line, err := p.jar.save(x, s, "", now); err == nil {
				v.lines = []string{line}
			}
			return
		}
		stored := p.jar.stored(x, s.ID)
		body, ttl := p.jar.body(s, now)
		if stored == nil || ttl == 0 {
			return
		}
		select {
		case p.touches <- touch{strings.Clone(stored.ID), body}:
		default: // the next request notes it
		}
	}
}

// touch notes that sessions are used, until ctx ends.
func (p *plugin) touch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-p.touches:
			err := p.jar.ask(ctx, pdk.EntityWrite{Op: pdk.WriteUpdate, Kind: Sessions.Kind(), ID: t.id, Body: t.body})
			if err != nil && !errors.Is(err, pdk.ErrWriteGone) && !errors.Is(err, pdk.ErrControlAway) {
				p.log.Warn("session is not noted as used", "error", err)
			}
		}
	}
}

// wantsLogout tells whether the request ends the session.
func (p *plugin) wantsLogout(x *pdk.Exchange) bool {
	if !slices.Contains(p.LogoutMethods, x.Request.Method) {
		return false
	}
	if p.LogoutQueryArg != "" && pdk.QueryCount(x.Request.RawQuery, p.LogoutQueryArg) > 0 {
		return true
	}
	if !p.ReadBodyForLogout || p.LogoutPostArg == "" || x.Request.Method == "GET" {
		return false
	}
	contentType := x.Request.Header.Get("Content-Type")
	if payload.KindOf(contentType) == payload.None {
		return false
	}
	raw, err := x.BufferBody(maxBody)
	if err != nil || len(raw) == 0 {
		return false
	}
	body, err := payload.Parse(contentType, raw)
	return err == nil && body.Has(p.LogoutPostArg)
}

func (p *plugin) logout(x *pdk.Exchange) error {
	err := p.jar.remove(x)
	x.Response.Header.Add("Set-Cookie", p.jar.expired())
	if p.Remember {
		err = errors.Join(err, p.remembered.remove(x))
		x.Response.Header.Add("Set-Cookie", p.remembered.expired())
	}
	if err != nil {
		p.log.Warn("session is not ended", "error", err)
		return x.Fail(503, "The session can not be ended now")
	}
	return x.ExitBody(200, "", nil)
}

func (p *plugin) headerFilter(x *pdk.Exchange) error {
	slot := x.Slot(p.slot)
	v, _ := (*slot).(*visit)
	if v == nil {
		v = &visit{}
	}
	now := x.Start.Unix()
	if x.Consumer != nil && x.Credential != (pdk.Credential{}) {
		id := x.Credential.ID
		if id == "" {
			id = x.Consumer.ID
		}
		if v.state == nil || v.state.Consumer != x.Consumer.ID || v.state.Credential != id {
			old := ""
			if v.state != nil {
				old = v.state.ID
			}
			s := p.begin(&state{
				Audience: p.Audience, Subject: subject(x.Consumer), Consumer: x.Consumer.ID, Credential: strings.Clone(id), Groups: cloned(x.Groups),
			}, now)
			v.state, v.lines = s, p.keep(x, s, old, now)
			if v.lines == nil {
				v.state = nil
			}
		}
	}
	for _, line := range v.lines {
		x.Response.Header.Add("Set-Cookie", line)
	}
	if v.state != nil {
		v.state.tell(x, &x.Response.Header, p.ResponseHeaders, p.jar.span, now)
	}
	*slot = nil
	return nil
}

func subject(c *entity.Consumer) string {
	switch {
	case c.Username != "":
		return c.Username
	case c.CustomID != "":
		return c.CustomID
	}
	return c.ID
}

func cloned(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.Clone(s)
	}
	return out
}
