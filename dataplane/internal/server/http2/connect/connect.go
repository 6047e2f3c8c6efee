// Package connect has the standard library's HTTP/2 announce extended CONNECT (RFC 8441),
// which browsers open WebSockets with. The library leaves it out unless GODEBUG asks for
// it when net/http is initialized, and reads the environment for that, not what a
// //go:debug line says. So this package writes it there before: Go initializes packages in
// the order of their import paths once what they import is, and this one imports nothing
// but os and strings. A test in http2 holds that the setting is announced.
package connect

import (
	"os"
	"strings"
)

const setting = "http2xconnect="

// Enabled tells whether the library was asked to announce it: not when the user's own
// GODEBUG says otherwise.
var Enabled = enable() //nolint:gochecknoglobals // it has to happen before net/http is initialized

func enable() bool {
	debug := os.Getenv("GODEBUG")
	if strings.Contains(debug, setting) {
		return strings.Contains(debug, setting+"1")
	}
	if debug != "" {
		debug += ","
	}
	return os.Setenv("GODEBUG", debug+setting+"1") == nil
}
