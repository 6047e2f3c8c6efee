package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/shared/settings"
)

// open listens on one address as its flags say.
func open(l settings.Listener) (net.Listener, error) {
	if l.Network == "unix" {
		if err := removeStale(l.Address); err != nil {
			return nil, err
		}
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if controlErr := raw.Control(func(fd uintptr) { err = flags(int(fd), l) }); controlErr != nil {
			return controlErr
		}
		return err
	}}
	keepAlive(&config, l.KeepAlive)
	network := l.Network
	if network == "tcp" && l.IPv6Only == nil && !strings.Contains(l.IP, ":") && l.IP != "localhost" {
		network = "tcp4"
	}
	nl, err := config.Listen(context.Background(), network, l.Address)
	if err != nil {
		return nil, err
	}
	if l.Backlog > 0 {
		if err := backlog(nl, l.Backlog); err != nil {
			return nil, errors.Join(fmt.Errorf("set backlog of %s: %w", l.Address, err), nl.Close())
		}
	}
	return nl, nil
}

func flags(fd int, l settings.Listener) error {
	if l.ReusePort {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fmt.Errorf("set reuseport: %w", err)
		}
	}
	if l.IPv6Only != nil {
		v := 0
		if *l.IPv6Only {
			v = 1
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, v); err != nil {
			return fmt.Errorf("set ipv6only: %w", err)
		}
	}
	return nil
}

// backlog sets the length of the accept queue: listen(2) may be called again.
func backlog(nl net.Listener, n int) error {
	sc, ok := nl.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var listenErr error
	if err := raw.Control(func(fd uintptr) { listenErr = unix.Listen(int(fd), n) }); err != nil {
		return err
	}
	return listenErr
}

// keepAlive obeys so_keepalive: on, off or idle:interval:count, each of which may be
// missing.
func keepAlive(c *net.ListenConfig, text string) {
	switch text {
	case "", "on":
		return
	case "off":
		c.KeepAlive = -1
		return
	}
	parts := append(strings.Split(text, ":"), "", "")
	c.KeepAliveConfig.Enable = true
	if n, err := strconv.Atoi(strings.TrimSuffix(parts[0], "s")); err == nil {
		c.KeepAliveConfig.Idle = time.Duration(n) * time.Second
	}
	if n, err := strconv.Atoi(strings.TrimSuffix(parts[1], "s")); err == nil {
		c.KeepAliveConfig.Interval = time.Duration(n) * time.Second
	}
	if n, err := strconv.Atoi(parts[2]); err == nil {
		c.KeepAliveConfig.Count = n
	}
}

// removeStale removes a socket that nobody listens on any more.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is no socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("%s is in use by another process", path)
	}
	return os.Remove(path)
}
