// Package auth is what all authentication plugins share: the consumer headers for
// the upstream, the anonymous consumer, and how several plugins on one route combine.
//
// Without an anonymous consumer all of them must succeed. With one they are tried in
// turn: the first success wins, and the anonymous consumer comes in when all failed.
// It refuses to know how a credential is found.
package auth

import (
	"strings"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Headers that tell the upstream who calls.
const (
	HeaderID         = "X-Consumer-ID"
	HeaderCustomID   = "X-Consumer-Custom-ID"
	HeaderUsername   = "X-Consumer-Username"
	HeaderCredential = "X-Credential-Identifier"
	HeaderAnonymous  = "X-Anonymous-Consumer"
)

// Failure is why an attempt failed. The zero value is success.
type Failure struct {
	// Status and Message of the answer; Message "" means the status's own text.
	Status  int
	Message string
	// Body is sent as JSON in place of the message, unless it is nil.
	Body any
	// Challenge for WWW-Authenticate, "" for none.
	Challenge string
}

// Access is the access phase of an authentication plugin. anonymous is the id or
// username of the consumer for requests without a good credential, "" for none.
// attempt looks for a credential and calls Succeed when it is good; an error is a
// fault of the gateway.
func Access(x *pdk.Exchange, anonymous string, attempt func(x *pdk.Exchange) (Failure, error)) error {
	if anonymous != "" && x.Credential != (pdk.Credential{}) {
		return nil // another plugin has found a credential already
	}
	failure, err := attempt(x)
	switch {
	case err != nil:
		return err
	case failure.Status == 0:
		return nil
	case anonymous != "":
		return succeedAnonymous(x, anonymous)
	}
	if failure.Challenge != "" {
		x.Response.Header.Set("WWW-Authenticate", failure.Challenge)
	}
	if failure.Body != nil {
		return x.ExitJSON(failure.Status, failure.Body)
	}
	return x.Fail(failure.Status, failure.Message)
}

// Succeed tells the exchange and the upstream who calls. consumer may be nil when a
// credential belongs to none.
func Succeed(x *pdk.Exchange, consumer *entity.Consumer, credential pdk.Credential) {
	h := &x.Request.Header
	setConsumer(h, consumer)
	setOrDel(h, HeaderCredential, credential.Key)
	h.Del(HeaderAnonymous)
	x.Authenticate(consumer, credential)
}

// Consumer returns the consumer of that id, or nil.
func Consumer(x *pdk.Exchange, id string) *entity.Consumer {
	if id == "" || x.View == nil {
		return nil
	}
	c, _ := x.View.ByID(entity.Consumers, id).(*entity.Consumer)
	return c
}

func succeedAnonymous(x *pdk.Exchange, name string) error {
	c := Consumer(x, name)
	if c == nil && x.View != nil {
		c, _ = x.View.ByKey(entity.Consumers, "username", name).(*entity.Consumer)
	}
	if c == nil {
		return x.Fail(500, "")
	}
	h := &x.Request.Header
	setConsumer(h, c)
	h.Del(HeaderCredential)
	h.Set(HeaderAnonymous, "true")
	x.Authenticate(c, pdk.Credential{})
	return nil
}

func setConsumer(h *pdk.Header, c *entity.Consumer) {
	if c == nil {
		h.Del(HeaderID)
		h.Del(HeaderCustomID)
		h.Del(HeaderUsername)
		return
	}
	h.Set(HeaderID, c.ID)
	setOrDel(h, HeaderCustomID, c.CustomID)
	setOrDel(h, HeaderUsername, c.Username)
}

func setOrDel(h *pdk.Header, name, value string) {
	if value == "" {
		h.Del(name)
		return
	}
	h.Set(name, value)
}

// Challenge returns a value for WWW-Authenticate. realm "" leaves the realm out.
func Challenge(scheme, realm string) string {
	if realm == "" {
		return scheme
	}
	return scheme + ` realm="` + QuoteRealm(realm) + `"`
}

// QuoteRealm returns a realm as it stands between quotes.
func QuoteRealm(realm string) string { return quoteRealm.Replace(realm) }

var quoteRealm = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "", "\n", "")
