package admin

import (
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
)

// What those are told who may not. The texts are those of Kong Enterprise.
const (
	badCredentials = "Invalid RBAC credentials"
	noPermission   = ", you do not have permissions to %s this resource"
	tooManyTries   = "too many tokens were tried that are not good"
)

const (
	defaultTokenHeader = "Kong-Admin-Token"
	headerRequestID    = "X-Kong-Admin-Request-Id"
)

// visit is who makes a request, and what will be recorded of it.
type visit struct {
	token   *access.Token // nil for nobody
	request *audit.Request
	// refused is why the request was not let in.
	refused string
}

// arrive begins the record of a request, which its context brings to the store.
func (a *API) arrive(w http.ResponseWriter, r *http.Request) (*visit, *http.Request) {
	v := &visit{request: &audit.Request{Method: r.Method, Path: r.URL.Path, ClientIP: hostOf(r.RemoteAddr), At: time.Now()}}
	if a.o.Audit != nil {
		v.request.ID = uuid.NewString()
		w.Header().Set(headerRequestID, v.request.ID)
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		v.request.UserName = "certificate " + r.TLS.VerifiedChains[0][0].Subject.String()
	}
	return v, r.WithContext(audit.With(r.Context(), v.request))
}

func hostOf(address string) string {
	if at, err := netip.ParseAddrPort(address); err == nil {
		return at.Addr().Unmap().WithZone("").String()
	}
	return address
}

// admit is the one place where it is decided whether somebody may do something. Without
// enforcement everybody may, and a token only tells who it was.
func (a *API) admit(v *visit, r *http.Request, use access.Use) (answer, bool) {
	if a.o.Tokens == nil {
		return answer{}, true
	}
	v.request.Workspace = use.Workspace
	address, _ := netip.ParseAddr(v.request.ClientIP)
	if a.o.EnforceTokens {
		if _, blocked := a.throttle.Blocked(address); blocked {
			return a.tooMany(v, address), false
		}
	}
	token, err := a.o.Tokens.Authenticate(a.tokenOf(r))
	if token != nil {
		v.request.UserID, v.request.UserName = token.ID, token.Name
	}
	switch {
	case !a.o.EnforceTokens:
		if err != nil {
			v.request.UserID = "" // nobody showed to be that
		}
		return answer{}, true
	case err != nil:
		v.refused = err.Error()
		if !errors.Is(err, access.ErrNone) && !a.throttle.Hold(r.Context(), address) {
			return a.tooMany(v, address), false
		}
		m := message(http.StatusUnauthorized, badCredentials)
		m.header = [][2]string{{"WWW-Authenticate", "Bearer"}}
		return m, false
	}
	v.token = token
	if token.Allows(use) {
		return answer{}, true
	}
	v.refused = "role " + string(token.Role)
	if token.Workspace != "" {
		v.refused += " of workspace " + token.Workspace
	}
	return message(http.StatusForbidden, token.Name+strings.Replace(noPermission, "%s", string(use.Action), 1)), false
}

// tooMany is the answer for an address that tries too many tokens.
func (a *API) tooMany(v *visit, address netip.Addr) answer {
	after, _ := a.throttle.Blocked(address)
	v.refused = tooManyTries
	m := message(http.StatusTooManyRequests, tooManyTries)
	m.header = [][2]string{{"Retry-After", strconv.Itoa(int(after/time.Second) + 1)}}
	return m
}

// tokenOf returns the token of a request, "" for none.
func (a *API) tokenOf(r *http.Request) string {
	if token := strings.TrimSpace(r.Header.Get(a.o.TokenHeader)); token != "" {
		return token
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return ""
}

// useOf tells what a request to an endpoint is about; e is nil where there is none.
func useOf(r *http.Request, e *endpoint) access.Use {
	u := access.Use{Action: access.Read, Area: access.Information}
	if e != nil {
		u.Area = areaOf(e.pattern)
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
	case http.MethodPost:
		u.Action = access.Create
	case http.MethodDelete:
		u.Action = access.Delete
	default:
		u.Action = access.Update
	}
	if e != nil && strings.HasPrefix(e.pattern, "/schemas/") {
		u.Action = access.Read // validating changes nothing
	}
	return u
}

// areas of paths by their first part. What is not listed is a kind of entities, or belongs
// to a plugin: it is written by those who write entities.
var areas = map[string]access.Area{
	"": access.Information, "endpoints": access.Information, "openapi.json": access.Information, "schemas": access.Information,
	"status": access.Information, "timers": access.Information, "metrics": access.Information, "whoami": access.Information,
	"cache": access.Configuration, "config": access.Configuration, "history": access.Configuration,
	"clustering": access.Operations, "debug": access.Operations,
	"workspaces":   access.Workspaces,
	"admin-tokens": access.Security, "audit": access.Security,
}

func areaOf(pattern string) access.Area {
	first, rest, _ := strings.Cut(strings.TrimPrefix(pattern, "/"), "/")
	if first == "plugins" && (rest == "enabled" || strings.HasPrefix(rest, "schema/")) {
		return access.Information
	}
	if first == "clustering" && (rest == "tokens" || strings.HasPrefix(rest, "tokens/")) {
		return access.Security
	}
	if area, ok := areas[first]; ok {
		return area
	}
	return access.Entities
}
