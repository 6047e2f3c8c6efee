package oauth2

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// writeTimeout bounds how long a client waits for the control plane.
const writeTimeout = 5 * time.Second

// grant is what a token is issued for.
type grant struct {
	client  *Credential
	service string // "" for any
	user    string
	scope   string
	// refreshable tokens come with a refresh token.
	refreshable bool
	// id and refresh keep those of an earlier token, "" makes new ones.
	id, refresh string
}

// issue makes an access token and returns what the client gets. What is to be done
// besides is done together with it or not at all.
func (p *plugin) issue(g grant, besides ...pdk.EntityWrite) (schema.Object, error) {
	expires := int64(p.TokenExpiration)
	if g.refreshable && g.refresh == "" && expires > 0 {
		g.refresh = schema.RandomString()
	}
	access := schema.RandomString()
	body := schema.Object{
		"access_token": access, "refresh_token": null(g.refresh), "expires_in": expires,
		"credential": schema.Object{"id": g.client.ID}, "authenticated_userid": null(g.user), "scope": null(g.scope),
	}
	if g.service != "" {
		body["service"] = schema.Object{"id": g.service}
	}
	if g.id != "" {
		body["id"] = g.id
	}
	if expires > 0 && p.RefreshTokenTTL > 0 {
		body["ttl"] = int64(p.RefreshTokenTTL)
	}
	if err := p.write(append(besides, insert(Tokens, body))...); err != nil {
		return nil, err
	}
	answer := schema.Object{"access_token": access, "token_type": "bearer"}
	if expires > 0 {
		answer["expires_in"] = expires
	}
	if g.refresh != "" {
		answer["refresh_token"] = g.refresh
	}
	return answer, nil
}

func insert(def *entity.Def, body schema.Object) pdk.EntityWrite {
	b, err := schema.EncodeJSON(body)
	if err != nil {
		panic(err) // strings and numbers
	}
	id, _ := body["id"].(string)
	return pdk.EntityWrite{Op: pdk.WriteInsert, Kind: def.Kind(), ID: id, Body: b}
}

func remove(def *entity.Def, id string) pdk.EntityWrite {
	return pdk.EntityWrite{Op: pdk.WriteDelete, Kind: def.Kind(), ID: id}
}

func (p *plugin) write(writes ...pdk.EntityWrite) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if err := p.control.Write(ctx, writes...); err != nil {
		return fmt.Errorf("have a token written: %w", err)
	}
	return nil
}

// unavailable answers when nothing could be written.
func (p *plugin) unavailable(x *pdk.Exchange, err error) error {
	if !errors.Is(err, pdk.ErrControlAway) && !errors.Is(err, pdk.ErrControlBusy) {
		return err
	}
	noStore(x)
	x.Response.Header.Set("Retry-After", "1")
	return x.ExitJSON(503, failure{"temporarily_unavailable", "No tokens can be issued now, because the control plane can not be reached"})
}
