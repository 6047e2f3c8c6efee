package tlsutil

import (
	"crypto/x509"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// nodeScheme is of the URI by which a certificate names a node: sluice://node/ID/EPOCH.
const nodeScheme = "sluice"

// NodeURI is the alternative name of a node's certificate. epoch counts how often the
// node has joined: only certificates of the newest count.
func NodeURI(id string, epoch uint64) *url.URL {
	return &url.URL{Scheme: nodeScheme, Host: "node", Path: "/" + id + "/" + strconv.FormatUint(epoch, 10)}
}

// NodeOf returns the node that a certificate names, or false when it names none.
func NodeOf(c *x509.Certificate) (id string, epoch uint64, ok bool) {
	if len(c.URIs) != 1 || c.URIs[0].Scheme != nodeScheme || c.URIs[0].Host != "node" {
		return "", 0, false
	}
	id, number, _ := strings.Cut(strings.TrimPrefix(c.URIs[0].Path, "/"), "/")
	epoch, err := strconv.ParseUint(number, 10, 64)
	if _, bad := uuid.Parse(id); bad != nil || err != nil || len(id) != 36 {
		return "", 0, false
	}
	return id, epoch, true
}
