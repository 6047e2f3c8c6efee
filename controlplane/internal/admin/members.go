package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/identity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Members are the nodes as far as they are known by certificates, and the tokens that let
// them join. It is safe for concurrent use.
type Members interface {
	Tokens() []*identity.Token
	Token(id string) *identity.Token
	CreateToken(ctx context.Context, r identity.TokenRequest) (known *identity.Token, secret string, err error)
	RevokeToken(ctx context.Context, id string) error
	// JoinLine is what a node is given; address "" means the one that is advertised.
	JoinLine(known *identity.Token, secret, address string) (token, line string, err error)
	// Node returns what is kept of a node, nil for nothing.
	Node(id string) *identity.Node
	// Revoke parts with a node for good, Forget until it joins again. Both are
	// identity.ErrNotFound for nodes that nobody has seen, and Forget is ErrStays for one
	// that would come back by itself.
	Revoke(ctx context.Context, id string) error
	Forget(ctx context.Context, id string) error
	// Drain has a node take no more traffic, or take it again.
	Drain(ctx context.Context, id string, on bool) error
}

// ErrStays means that a node is connected with the certificate that all nodes have.
var ErrStays = errors.New("the node is connected with a certificate that is not its own and would be listed again: stop it, or revoke it")

// joinTokenSchema is what a client says of a join token that it wants.
var joinTokenSchema = &schema.Schema{
	Name: identity.KindTokens,
	Fields: []schema.Field{
		{Name: "ttl", Type: schema.Integer, Gt: new(float64), Description: "How long the token is good, in seconds; an hour when unset."},
		{Name: "uses", Type: schema.Integer, Between: []float64{0, 1 << 30}, Description: "How many nodes may join with it; 0 is any number, one when unset."},
		{Name: "comment", Type: schema.String, Description: "Free text."},
		{Name: "address", Type: schema.String, Description: "Where nodes reach the control plane, host:port; cluster_advertise when unset."},
	},
}

func (a *API) addMembers() {
	a.table.add("/clustering/tokens", map[string]handler{http.MethodGet: a.listJoinTokens, http.MethodPost: a.createJoinToken})
	a.table.add("/clustering/tokens/{join_tokens}", map[string]handler{http.MethodGet: a.getJoinToken, http.MethodDelete: a.revokeJoinToken})
	a.table.add("/clustering/data-planes/{data_planes}", map[string]handler{http.MethodGet: a.dataPlane, http.MethodDelete: a.forgetNode})
	a.table.add("/clustering/data-planes/{data_planes}/revoke", map[string]handler{http.MethodPost: a.revokeNode})
	a.table.add("/clustering/data-planes/{data_planes}/drain", map[string]handler{http.MethodPost: a.drain(true), http.MethodDelete: a.drain(false)})
}

func showJoinToken(t *identity.Token) schema.Object {
	out := schema.Object{
		"id": t.ID, "created_at": t.CreatedAt, "expires_at": t.ExpiresAt, "uses": t.Uses, "used": t.Used,
		"state": string(t.State(time.Now())), "comment": nil, "created_by": nil,
	}
	for name, value := range map[string]string{"comment": t.Comment, "created_by": t.CreatedBy} {
		if value != "" {
			out[name] = value
		}
	}
	return out
}

func (a *API) listJoinTokens(*call) (answer, error) {
	list := []any{}
	for _, t := range a.o.Members.Tokens() {
		list = append(list, showJoinToken(t))
	}
	return ok(schema.Object{"data": list, "next": nil})
}

func (a *API) getJoinToken(c *call) (answer, error) {
	t := a.o.Members.Token(c.values[0])
	if t == nil {
		return answer{}, errNotFound
	}
	return ok(showJoinToken(t))
}

// createJoinToken answers with the token, which nobody can ask for again.
func (a *API) createJoinToken(c *call) (answer, error) {
	in, err := c.decode(joinTokenSchema, nil)
	if err != nil {
		return answer{}, err
	}
	o, err := joinTokenSchema.Process(in, schema.Insert, nil)
	if err != nil {
		return answer{}, err //nolint:wrapcheck // a violation
	}
	request := identity.TokenRequest{By: c.visit.request.UserName}
	request.Comment, _ = o["comment"].(string)
	if seconds, given := o["ttl"].(int64); given {
		request.Life = time.Duration(min(seconds, 1<<32)) * time.Second
	}
	if uses, given := o["uses"].(int64); given {
		if request.Uses = int(uses); uses == 0 {
			request.Uses = -1
		}
	}
	if field, err := request.Check(); err != nil {
		return answer{}, schema.Violate(field, err.Error())
	}
	address, _ := o["address"].(string)
	if _, _, err := a.o.Members.JoinLine(&identity.Token{}, "", address); err != nil {
		return answer{}, schema.Violate("address", err.Error())
	}
	known, secret, err := a.o.Members.CreateToken(c.ctx, request)
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail logs it
	}
	body := showJoinToken(known)
	if body["token"], body["join"], err = a.o.Members.JoinLine(known, secret, address); err != nil {
		return answer{}, err //nolint:wrapcheck // fail logs it
	}
	return answer{status: http.StatusCreated, body: body, header: [][2]string{{"Cache-Control", "no-store"}}}, nil
}

func (a *API) revokeJoinToken(c *call) (answer, error) {
	if err := a.o.Members.RevokeToken(c.ctx, c.values[0]); err != nil && !errors.Is(err, identity.ErrNotFound) {
		return answer{}, err //nolint:wrapcheck // fail logs it
	}
	return answer{status: http.StatusNoContent}, nil
}

// members completes the rows of nodes with what is kept of them beside the hub.
func (a *API) members(rows []map[string]any) []map[string]any {
	for _, row := range rows {
		row["revoked_at"] = nil
		id, _ := row["id"].(string)
		if a.o.Members == nil {
			continue
		}
		if n := a.o.Members.Node(id); n != nil && n.RevokedAt != 0 {
			row["revoked_at"], row["state"] = n.RevokedAt, "revoked"
		}
	}
	return rows
}

func (a *API) dataPlane(c *call) (answer, error) {
	for _, row := range a.members(a.o.Fleet.Nodes()) {
		if row["id"] == c.values[0] {
			return ok(row)
		}
	}
	return answer{}, errNotFound
}

func (a *API) forgetNode(c *call) (answer, error) {
	err := a.o.Members.Forget(c.ctx, c.values[0])
	switch {
	case errors.Is(err, ErrStays):
		return answer{}, refuse(http.StatusConflict, err.Error())
	case errors.Is(err, identity.ErrNotFound):
		return answer{}, errNotFound
	case err != nil:
		return answer{}, err //nolint:wrapcheck // fail logs it
	}
	return answer{status: http.StatusNoContent}, nil
}

func (a *API) revokeNode(c *call) (answer, error) {
	err := a.o.Members.Revoke(c.ctx, c.values[0])
	if errors.Is(err, identity.ErrNotFound) {
		return answer{}, errNotFound
	}
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail logs it
	}
	return answer{status: http.StatusNoContent}, nil
}

func (a *API) drain(on bool) handler {
	return func(c *call) (answer, error) {
		ctx, cancel := context.WithTimeout(c.ctx, commandTime)
		defer cancel()
		err := a.o.Members.Drain(ctx, c.values[0], on)
		switch {
		case errors.Is(err, hub.ErrUnknown):
			return answer{}, errNotFound
		case errors.Is(err, hub.ErrNotConnected):
			return answer{}, refuse(http.StatusConflict, err.Error())
		case err != nil:
			return answer{}, refuse(http.StatusBadGateway, err.Error())
		}
		return answer{status: http.StatusNoContent}, nil
	}
}
