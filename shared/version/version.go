// Package version holds what both programs say about themselves. It owns no more
// than two facts: our own version, stamped by the linker, and the version of Kong
// whose Admin API, headers and formats we keep to.
package version

import "runtime/debug"

// Kong is the version that clients of the Admin API are told, so that their own
// checks of what the API can do hold.
const Kong = "3.9.3"

// version is stamped by the linker: -X .../shared/version.version=v.
var version string

// Sluice returns the product's own version, such as 0.1.0 or 0.1.0-dev+1a2b3c4.
func Sluice() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "0.0.0-dev"
}
