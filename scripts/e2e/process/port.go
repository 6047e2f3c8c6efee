package process

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// given are ports that FreePort returned, so that none is given twice.
var given sync.Map

// FreePort finds a port that nobody listens on, below those that the system takes
// for outgoing connections, so that it is still free when a program is restarted.
func FreePort() int {
	for {
		port := 20000 + rand.IntN(12000)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		if CheckFree("0.0.0.0:"+strconv.Itoa(port)) == nil {
			return port
		}
	}
}

// FreeAddress is a FreePort on the loopback interface.
func FreeAddress() string { return "127.0.0.1:" + strconv.Itoa(FreePort()) }

// CheckFree returns an error that says who has the address, where that can be seen.
func CheckFree(address string) error {
	listener, err := net.Listen("tcp", address)
	if err == nil {
		return listener.Close()
	}
	_, port, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		return splitErr
	}
	if who := holder(port); who != "" {
		return fmt.Errorf("%s is taken by %s", address, who)
	}
	return fmt.Errorf("%s is not free: %w", address, err)
}

// holder names the process that listens on a TCP port, "" when /proc does not tell.
func holder(port string) string {
	number, err := strconv.Atoi(port)
	if err != nil {
		return ""
	}
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		suffix := fmt.Sprintf(":%04X", number)
		for line := range strings.Lines(string(data)) {
			// slot, local address, remote address, state, four others, inode
			fields := strings.Fields(line)
			if len(fields) > 9 && strings.HasSuffix(fields[1], suffix) && fields[3] == "0A" {
				inodes["socket:["+fields[9]+"]"] = true
			}
		}
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !inodes[target] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			continue
		}
		return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}
