package settings

import (
	"fmt"
	"strings"
)

// exampleWidth is how long the lines of an example file are at most.
const exampleWidth = 100

// Example is a file in kong.conf syntax with every setting of a plane: what it does, what
// it may be, and its default, commented out. Without a change the file changes nothing.
func Example(plane Plane, program string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Settings of %s, in the syntax of kong.conf.\n#\n", program)
	b.WriteString("# Every line that begins with # is a comment; what is behind a key is its default. Remove the # and\n" +
		"# change the value. Each key can be set in the environment as well (SLUICE_ and the key in upper\n" +
		"# case; KONG_ for the keys that Kong has), and as a flag (--key value), which win over this file.\n")
	for _, k := range Keys(plane) {
		b.WriteString("\n")
		text := k.Description
		if len(k.OneOf) > 0 {
			text += " " + oneOf(&k) + strings.Join(k.OneOf, ", ") + "."
		}
		if k.Min != 0 || k.Max != 0 {
			text += fmt.Sprintf(" From %d to %d.", k.Min, k.Max)
		}
		if form := forms[k.Kind]; form != "" {
			text += " " + form
		}
		if k.Own {
			text += " Kong has no such setting."
		}
		for _, line := range wrap(text, exampleWidth-2) {
			b.WriteString("# " + line + "\n")
		}
		b.WriteString(strings.TrimRight("#"+k.Name+" = "+strings.ReplaceAll(k.Default, "#", `\#`), " ") + "\n")
	}
	return b.String()
}

func oneOf(k *Key) string {
	if k.Kind == List {
		return "A list of these: "
	}
	return "One of: "
}

// forms say how a value of a kind is written, where that is not plain.
var forms = map[Kind]string{
	Bool:      "on or off.",
	Share:     "A number from 0 to 1.",
	Duration:  "Seconds, or a time such as 500ms, 30s, 5m, 1h or 1d.",
	Size:      "Bytes, or a size such as 8k, 10m or 1g.",
	Networks:  "IP addresses and CIDR ranges, separated by commas.",
	Labels:    "Pairs, separated by commas.",
	Listeners: "off, or addresses with flags, separated by commas: ip:port, unix:/path; ssl, http2, proxy_protocol, reuseport, backlog=N.",
	Address:   "host:port.",
	URL:       "Begins with http:// or https://.",
	PEM:       "A path, the PEM text itself, or the text in base64.",
	PEMs:      "Paths, separated by commas, or PEM text.",
}

// wrap breaks text into lines of at most width characters, between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
