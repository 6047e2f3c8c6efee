package proxy

import (
	"net/netip"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// addrText writes the address without port.
func addrText(t *pdk.Text, a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return t.Keep(a.Addr().Unmap().AppendTo(t.Room(46)))
}
