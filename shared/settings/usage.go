package settings

import (
	"fmt"
	"strings"
)

// Usage is the text of --help.
func Usage(plane Plane, program string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s [-c FILE] [--key value ...]\n\n", program)
	fmt.Fprintf(&b, "Settings come from, the later winning: defaults, a file in kong.conf syntax (-c FILE,\n")
	fmt.Fprintf(&b, "else the first of %s), KONG_<KEY>, SLUICE_<KEY>, --key value.\n\n", strings.Join(DefaultFiles, ", "))
	fmt.Fprintf(&b, "  -c, --conf FILE   read this file\n  -v, --version     print the version\n  -h, --help        print this\n\n")
	for _, k := range Keys(plane) {
		fmt.Fprintf(&b, "  %s", k.Name)
		if k.Default != "" {
			fmt.Fprintf(&b, " = %s", k.Default)
		}
		fmt.Fprintf(&b, "\n      %s", k.Description)
		if len(k.OneOf) > 0 && k.Kind == String {
			fmt.Fprintf(&b, " One of: %s.", strings.Join(k.OneOf, ", "))
		}
		b.WriteString("\n")
	}
	return b.String()
}
