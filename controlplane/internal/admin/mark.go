package admin

import (
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// mark sets the health of a target, or of one of its addresses, by hand. The mark is a
// part of the configuration: all data planes obey it, also those that start later.
func (a *API) mark(healthy bool) handler {
	return func(c *call) (answer, error) {
		upstreams, targets, marks := a.o.Kinds.ByKind(kindUpstreams), a.o.Kinds.ByKind(kindTargets), a.o.Kinds.ByKind(kindMarks)
		if upstreams == nil || targets == nil || marks == nil {
			return answer{}, errNotFound
		}
		upstream, err := c.find(upstreams, c.values[0])
		if err != nil {
			return answer{}, err
		}
		id, _ := upstream["id"].(string)
		target, err := c.catalog().Get(c.ctx, targets, keyOf(c.values[1]), catalog.Scope{Field: "upstream", ParentID: id})
		if err != nil {
			return answer{}, missing(err, targets, c.values[1])
		}
		targetID, _ := target["id"].(string)
		address := ""
		if len(c.values) > 2 {
			if address, err = markedAddress(target, c.values[2]); err != nil {
				return answer{}, err
			}
		}
		at, err := c.laterThan(marks, targetID)
		if err != nil {
			return answer{}, err
		}
		in := schema.Object{"target": schema.Object{"id": targetID}, "healthy": healthy, "at": at}
		if address != "" {
			in["address"] = address
		}
		key := catalog.Key{ID: uuid.NewSHA1(markSpace, []byte(targetID+" "+address)).String()}
		written, err := c.catalog().Upsert(c.ctx, marks, key, catalog.Scope{}, in)
		if err != nil {
			return answer{}, err
		}
		return c.wrote(written.Position, answer{status: http.StatusNoContent})
	}
}

// markSpace is what the ids of marks are made in: a target, or one of its addresses, has
// one mark at most.
var markSpace = uuid.MustParse("b5a7c2f4-6f0e-4b53-9d0e-0a7b5a3f1c86")

// laterThan returns a time for a mark that is later than those of all others of a target.
func (c *call) laterThan(marks *entity.Def, target string) (int64, error) {
	at := time.Now().UnixMilli()
	o := catalog.ListOptions{Scope: catalog.Scope{Field: "target", ParentID: target}, Size: maxPageSize}
	for {
		page, err := c.catalog().List(c.ctx, marks, o)
		if err != nil {
			return 0, err
		}
		for _, m := range page.Entities {
			if before, ok := m["at"].(int64); ok && before >= at {
				at = before + 1
			}
		}
		if o.Offset = page.Next; page.Next == "" {
			return at, nil
		}
	}
}

// markedAddress reads the address of a target in a path: ip:port, or an IP with the
// target's port. A target that is an IP has no other.
func markedAddress(target schema.Object, text string) (string, error) {
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	host, port := targetAddress(target)
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		ip, ipErr := netip.ParseAddr(trimBrackets(text))
		if ipErr != nil {
			return "", refuse(http.StatusBadRequest, "address: "+text+" is not an IP address with an optional port")
		}
		at = netip.AddrPortFrom(ip, uint16(port)) //nolint:gosec // stored ports are valid
	}
	if own, err := netip.ParseAddr(trimBrackets(host)); err == nil && netip.AddrPortFrom(own, uint16(port)) != at { //nolint:gosec // as above
		return "", errNotFound
	}
	return at.String(), nil
}

func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}
