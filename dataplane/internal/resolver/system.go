package resolver

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// conf is what a resolv.conf says.
type conf struct {
	servers  []string // ip:port
	search   []string // without a dot at the end
	ndots    int
	timeout  time.Duration
	attempts int
	rotate   bool
	tcp      bool
}

// system is the machine's own settings. The hosts file is read again when it changes.
type system struct {
	conf  conf
	hosts string

	mu      sync.Mutex
	names   map[string][]netip.Addr
	read    time.Time // modification time of what was read
	size    int64
	checked time.Time
}

func readSystem(resolvConf, hosts string) (*system, error) {
	s := &system{hosts: hosts}
	f, err := os.Open(resolvConf) //nolint:gosec // the machine's own file, or one of the settings
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.conf = parseResolvConf(strings.NewReader(""))
	case err != nil:
		return nil, fmt.Errorf("read name servers: %w", err)
	default:
		defer func() { _ = f.Close() }()
		text, err := io.ReadAll(f)
		if err != nil {
			return nil, fmt.Errorf("read name servers: %w", err)
		}
		s.conf = parseResolvConf(bytes.NewReader(text))
	}
	return s, nil
}

// parseResolvConf reads the syntax of resolv.conf(5); what it does not know it passes
// over, as others do.
func parseResolvConf(r io.Reader) conf {
	c := conf{ndots: 1, timeout: 5 * time.Second, attempts: 2}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(fields[1]); err == nil && len(c.servers) < 3 {
				c.servers = append(c.servers, netip.AddrPortFrom(a, 53).String())
			}
		case "domain", "search":
			c.search = nil
			for _, name := range fields[1:] {
				if name = strings.TrimSuffix(name, "."); name != "" {
					c.search = append(c.search, name)
				}
			}
		case "options":
			for _, o := range fields[1:] {
				c.option(o)
			}
		}
	}
	if len(c.servers) == 0 {
		c.servers = []string{"127.0.0.1:53", "[::1]:53"}
	}
	return c
}

func (c *conf) option(o string) {
	name, text, _ := strings.Cut(o, ":")
	n, err := strconv.Atoi(text)
	switch {
	case name == "rotate":
		c.rotate = true
	case name == "use-vc" || name == "usevc" || name == "tcp":
		c.tcp = true
	case err != nil:
	case name == "ndots":
		c.ndots = min(max(n, 0), 15)
	case name == "timeout":
		c.timeout = time.Duration(min(max(n, 1), 30)) * time.Second
	case name == "attempts":
		c.attempts = min(max(n, 1), 5)
	}
}

// candidates are the full names that a name may stand for, in the order of trying.
func (c *conf) candidates(name string) []string {
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	full := name + "."
	enough := strings.Count(name, ".") >= c.ndots
	out := make([]string, 0, len(c.search)+1)
	if enough {
		out = append(out, full)
	}
	for _, s := range c.search {
		out = append(out, name+"."+s+".")
	}
	if !enough {
		out = append(out, full)
	}
	return out
}

// hostsEvery is how often a change of the hosts file is looked for.
const hostsEvery = 5 * time.Second

// find returns the addresses that the hosts file has for a name.
func (s *system) find(name string, now time.Time) []netip.Addr {
	if s.hosts == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil || now.Sub(s.checked) >= hostsEvery || now.Before(s.checked) {
		s.checked = now
		s.reloadLocked()
	}
	return s.names[strings.ToLower(strings.TrimSuffix(name, "."))]
}

func (s *system) reloadLocked() {
	info, err := os.Stat(s.hosts)
	if err != nil {
		s.names, s.read, s.size = map[string][]netip.Addr{}, time.Time{}, 0
		return
	}
	if s.names != nil && info.ModTime().Equal(s.read) && info.Size() == s.size {
		return
	}
	f, err := os.Open(s.hosts)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	s.names, s.read, s.size = parseHosts(f), info.ModTime(), info.Size()
}

func parseHosts(r io.Reader) map[string][]netip.Addr {
	out := map[string][]netip.Addr{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			out[name] = append(out[name], addr.Unmap())
		}
	}
	return out
}

// ParseServer reads ip or ip:port of a name server.
func ParseServer(text string) (string, error) {
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPortFrom(a, 53).String(), nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", fmt.Errorf("%q is not an IP address with an optional port", text)
	}
	a, err := netip.ParseAddr(host)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || n == 0 {
		return "", fmt.Errorf("%q is not an IP address with an optional port", text)
	}
	return netip.AddrPortFrom(a, uint16(n)).String(), nil
}
