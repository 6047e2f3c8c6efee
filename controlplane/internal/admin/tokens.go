package admin

import (
	"errors"
	"net/http"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// tokenSchema is what a client says of a token that it wants.
var tokenSchema = &schema.Schema{
	Name: access.Kind,
	Fields: []schema.Field{
		{Name: "name", Type: schema.String, Required: true, Description: "Unique name of the token, which refusals and the audit log show."},
		{
			Name: "role", Type: schema.String, Required: true, OneOf: []any{string(access.ReadOnly), string(access.Editor), string(access.Admin)},
			Description: "What the owner may do.",
		},
		{Name: "workspace", Type: schema.String, Description: "Name of the only workspace that the token is good for; unset means all."},
		{Name: "comment", Type: schema.String, Description: "Free text."},
		{Name: "expires_at", Type: schema.Integer, Gt: new(float64), Description: "When the token ends, in seconds since 1970; unset means never."},
		{Name: "ttl", Type: schema.Integer, Gt: new(float64), Description: "The same in seconds from now."},
	},
	Checks: []schema.EntityCheck{{MutuallyExclusive: []string{"expires_at", "ttl"}}},
}

func (a *API) addTokens() {
	a.table.add("/admin-tokens", map[string]handler{http.MethodGet: a.listTokens, http.MethodPost: a.createToken})
	a.table.add("/admin-tokens/{admin_tokens}", map[string]handler{http.MethodGet: a.getToken, http.MethodDelete: a.revokeToken})
}

func showToken(t *access.Token) schema.Object {
	out := schema.Object{
		"id": t.ID, "name": t.Name, "role": string(t.Role), "created_at": t.CreatedAt, "prefix": t.Prefix, "expired": t.Expired(time.Now()),
		"workspace": nil, "comment": nil, "created_by": nil, "expires_at": nil,
	}
	for name, value := range map[string]string{"workspace": t.Workspace, "comment": t.Comment, "created_by": t.CreatedBy} {
		if value != "" {
			out[name] = value
		}
	}
	if t.ExpiresAt != 0 {
		out["expires_at"] = t.ExpiresAt
	}
	return out
}

func (a *API) listTokens(*call) (answer, error) {
	list := []any{}
	for _, t := range a.o.Tokens.List() {
		list = append(list, showToken(t))
	}
	return ok(schema.Object{"data": list, "next": nil})
}

func (a *API) getToken(c *call) (answer, error) {
	t := a.o.Tokens.Get(c.values[0])
	if t == nil {
		return answer{}, errNotFound
	}
	return ok(showToken(t))
}

// createToken answers with the token, which nobody can ask for again.
func (a *API) createToken(c *call) (answer, error) {
	in, err := c.decode(tokenSchema, nil)
	if err != nil {
		return answer{}, err
	}
	o, err := tokenSchema.Process(in, schema.Insert, nil)
	if err != nil {
		return answer{}, err //nolint:wrapcheck // a violation
	}
	text := func(name string) string { s, _ := o[name].(string); return s }
	request := access.Request{
		Name: text("name"), Role: access.Role(text("role")), Workspace: text("workspace"), Comment: text("comment"), By: c.visit.request.UserName,
	}
	if at, given := o["expires_at"].(int64); given {
		request.ExpiresAt = time.Unix(at, 0)
	}
	if seconds, given := o["ttl"].(int64); given {
		request.ExpiresAt = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	if field, err := request.Check(time.Now()); err != nil {
		return answer{}, schema.Violate(field, err.Error())
	}
	if err := a.checkWorkspace(c, request.Workspace); err != nil {
		return answer{}, err
	}
	known, token, err := a.o.Tokens.Create(c.ctx, request)
	if errors.Is(err, access.ErrNameTaken) {
		return answer{}, &catalog.Error{
			Code: catalog.CodeUniqueViolation, Name: "unique constraint violation",
			Message: `UNIQUE violation detected on '{name="` + request.Name + `"}'`, Fields: schema.Object{"name": request.Name},
		}
	}
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail logs it
	}
	body := showToken(known)
	body["token"] = token
	return answer{status: http.StatusCreated, body: body, header: [][2]string{{"Cache-Control", "no-store"}}}, nil
}

// checkWorkspace refuses to bind a token to a workspace that is not there.
func (a *API) checkWorkspace(c *call, name string) error {
	def := a.o.Kinds.ByKind("workspaces")
	if name == "" || def == nil {
		return nil
	}
	_, err := a.o.Catalog.Get(c.ctx, def, catalog.Key{Value: name}, catalog.Scope{})
	if isNotFound(err) {
		return schema.Violate("workspace", "there is no workspace '"+name+"'")
	}
	return err
}

func (a *API) revokeToken(c *call) (answer, error) {
	t := a.o.Tokens.Get(c.values[0])
	if t == nil {
		return answer{status: http.StatusNoContent}, nil
	}
	if a.o.EnforceTokens && lastAdmin(a.o.Tokens.List(), t) {
		return answer{}, refuse(http.StatusBadRequest, "this is the last token that can manage tokens: create another one first")
	}
	if _, err := a.o.Tokens.Revoke(c.ctx, t.ID); err != nil && !errors.Is(err, access.ErrNotFound) {
		return answer{}, err //nolint:wrapcheck // fail logs it
	}
	return answer{status: http.StatusNoContent}, nil
}

// lastAdmin tells whether nobody but t could make tokens.
func lastAdmin(all []*access.Token, t *access.Token) bool {
	able := func(t *access.Token) bool {
		return t.Role == access.Admin && t.Workspace == "" && !t.Expired(time.Now())
	}
	for _, other := range all {
		if other.ID != t.ID && able(other) {
			return false
		}
	}
	return able(t)
}
