package settings_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/settings"
)

func TestParseListeners(t *testing.T) {
	off := false
	for _, test := range []struct {
		text string
		want []settings.Listener
	}{
		{"off", nil},
		{" off ", nil},
		{"127.0.0.1:8000", []settings.Listener{{Network: "tcp", Address: "127.0.0.1:8000", IP: "127.0.0.1", Port: 8000, Flags: []string{}}}},
		{"127.0.0.1:8000, 0.0.0.0:8443 ssl http2 reuseport backlog=16384 proxy_protocol", []settings.Listener{
			{Network: "tcp", Address: "127.0.0.1:8000", IP: "127.0.0.1", Port: 8000, Flags: []string{}},
			{
				Network: "tcp", Address: "0.0.0.0:8443", IP: "0.0.0.0", Port: 8443, TLS: true, HTTP2: true, ReusePort: true, Backlog: 16384, ProxyProtocol: true,
				Flags: []string{"ssl", "http2", "reuseport", "backlog=16384", "proxy_protocol"},
			},
		}},
		{"[::1]:8000 ipv6only=off so_keepalive=30m::10 deferred bind", []settings.Listener{{
			Network: "tcp", Address: "[::1]:8000", IP: "::1", Port: 8000, IPv6Only: &off, KeepAlive: "30m::10",
			Flags: []string{"ipv6only=off", "so_keepalive=30m::10", "deferred", "bind"},
		}}},
		{"unix:/run/x.sock ssl", []settings.Listener{{Network: "unix", Address: "/run/x.sock", TLS: true, Flags: []string{"ssl"}}}},
		{"*:80", []settings.Listener{{Network: "tcp", Address: "0.0.0.0:80", IP: "0.0.0.0", Port: 80, Flags: []string{}}}},
		{"127.0.0.1:0, 127.0.0.1:0", []settings.Listener{
			{Network: "tcp", Address: "127.0.0.1:0", IP: "127.0.0.1", Flags: []string{}},
			{Network: "tcp", Address: "127.0.0.1:0", IP: "127.0.0.1", Flags: []string{}},
		}},
	} {
		got, err := settings.ParseListeners(test.text)
		if err != nil {
			t.Errorf("ParseListeners(%q): %v", test.text, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("ParseListeners(%q) (-want +got):\n%s", test.text, diff)
		}
	}
}

func TestParseListenersRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "must be of the form",
		"127.0.0.1:8000,":                   "must be of the form",
		"off, 127.0.0.1:8000":               "off is not of the form ip:port",
		"127.0.0.1":                         "not of the form ip:port",
		"::1:8000":                          "not of the form ip:port",
		"example.com:80":                    `"example.com" is not an IP address`,
		"127.0.0.1:http":                    `"http" is not a port`,
		"127.0.0.1:65536":                   `"65536" is not a port`,
		"127.0.0.1:-1":                      `"-1" is not a port`,
		"unix:run/x.sock":                   "must be absolute",
		"127.0.0.1:80 tls":                  `unknown flag "tls"`,
		"127.0.0.1:80 ssl ssl":              "ssl is given twice",
		"127.0.0.1:80 backlog=0":            `"0" is not a backlog`,
		"127.0.0.1:80 so_keepalive=x:y:z":   "unknown flag",
		"127.0.0.1:80 so_keepalive=::":      "unknown flag",
		"127.0.0.1:80 ssl, 127.0.0.1:80":    "127.0.0.1:80 is given twice",
		"unix:/a, unix:/a":                  "/a is given twice",
		"0.0.0.0:8443 http2\tssl\nreuseprt": `unknown flag "reuseprt"`,
	} {
		if got, err := settings.ParseListeners(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseListeners(%q) = %v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func FuzzParseListeners(f *testing.F) {
	f.Add("0.0.0.0:8443 ssl http2 reuseport backlog=16384, [::]:80")
	f.Add("unix:/x ssl")
	f.Add("off")
	f.Fuzz(func(t *testing.T, text string) {
		listeners, err := settings.ParseListeners(text)
		if err != nil {
			return
		}
		parts := make([]string, len(listeners))
		for i, l := range listeners {
			parts[i] = l.String()
		}
		again, err := settings.ParseListeners(strings.Join(parts, ","))
		if len(listeners) > 0 && (err != nil || !cmp.Equal(again, listeners)) {
			t.Errorf("%q reads as %+v, written and read again %+v, %v", text, listeners, again, err)
		}
	})
}
