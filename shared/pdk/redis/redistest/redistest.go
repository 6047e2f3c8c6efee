// Package redistest starts Redis for tests: a server, one with a replica and Sentinels
// that watch it, or a Cluster. All listen on 127.0.0.1 on free ports and end with the
// test. Where redis-server is not installed tests skip, and with CI=true they fail.
package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Password of all servers and Sentinels.
const Password = "secret"

// Master is the name that Sentinels watch.
const Master = "main"

// startTimeout bounds how long a server or a cluster may take to work.
const startTimeout = 20 * time.Second

// Server is a process of redis-server.
type Server struct {
	Port int

	t   testing.TB
	cmd *exec.Cmd
}

// Start starts a server.
func Start(t testing.TB) *Server {
	t.Helper()
	return start(t, freePort(t))
}

func start(t testing.TB, port int, arguments ...string) *Server {
	t.Helper()
	arguments = append([]string{
		"--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", Password, "--masterauth", Password,
		"--dir", t.TempDir(), "--logfile", filepath.Join(t.TempDir(), "log"),
	}, arguments...)
	return run(t, port, arguments...)
}

func run(t testing.TB, port int, arguments ...string) *Server {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no redis-server, which CI must have")
		}
		t.Skip("skipped: needs redis-server")
	}
	s := &Server{t: t, Port: port, cmd: exec.Command(binary, arguments...)}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	await(t, fmt.Sprintf("port %d", port), func() error {
		c, err := net.Dial("tcp", s.Address())
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	return s
}

// Stop kills the server.
func (s *Server) Stop() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// Address is host:port.
func (s *Server) Address() string { return fmt.Sprint("127.0.0.1:", s.Port) }

// Config is the record redis of a plugin.
func (s *Server) Config() string {
	return fmt.Sprintf(`{"host":"127.0.0.1","port":%d,"password":"%s","timeout":500}`, s.Port, Password)
}

func (s *Server) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: s.Address(), Password: Password, Protocol: 2, DisableIdentity: true})
}

// Do runs a command and returns its answer.
func (s *Server) Do(arguments ...any) (any, error) {
	c := s.client()
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.Do(ctx, arguments...).Result()
}

func await(t testing.TB, what string, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis: %s: %v", what, err)
		}
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of a TCP listener
		_ = l.Close()
		if port < 55000 { // a Cluster's bus takes the port 10000 above
			return port
		}
	}
}

// Watched is a master with a replica and three Sentinels.
type Watched struct {
	Master, Replica *Server
	Sentinels       []*Server
}

// StartWatched starts a master, a replica and Sentinels, and waits until they agree.
func StartWatched(t testing.TB) *Watched {
	t.Helper()
	w := &Watched{Master: Start(t)}
	w.Replica = start(t, freePort(t), "--replicaof", fmt.Sprintf("127.0.0.1 %d", w.Master.Port))
	for range 3 {
		port := freePort(t)
		file := filepath.Join(t.TempDir(), "sentinel.conf")
		text := fmt.Sprintf(`port %d
bind 127.0.0.1
requirepass %s
sentinel sentinel-pass %s
logfile %s
dir %s
sentinel monitor %s 127.0.0.1 %d 2
sentinel auth-pass %s %s
sentinel down-after-milliseconds %s 500
sentinel failover-timeout %s 2000
`, port, Password, Password, filepath.Join(t.TempDir(), "log"), t.TempDir(), Master, w.Master.Port, Master, Password, Master, Master)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w.Sentinels = append(w.Sentinels, run(t, port, file, "--sentinel"))
	}
	await(t, "sentinels agree", func() error {
		for _, s := range w.Sentinels {
			answer, err := s.Do("SENTINEL", "MASTER", Master)
			if err != nil {
				return err
			}
			if text := fmt.Sprint(answer); !strings.Contains(text, "num-slaves 1") || !strings.Contains(text, "num-other-sentinels 2") {
				return fmt.Errorf("sentinel %d says %s", s.Port, text)
			}
		}
		return nil
	})
	return w
}

// Config is the record redis of a plugin.
func (w *Watched) Config() string {
	var nodes []string
	for _, s := range w.Sentinels {
		nodes = append(nodes, fmt.Sprintf(`{"host":"127.0.0.1","port":%d}`, s.Port))
	}
	return fmt.Sprintf(`{"sentinel_nodes":[%s],"sentinel_master":"%s","sentinel_role":"master","sentinel_password":"%s","password":"%s","timeout":500}`,
		strings.Join(nodes, ","), Master, Password, Password)
}

// StartCluster starts a Cluster of three masters, and waits until it works.
func StartCluster(t testing.TB) []*Server {
	t.Helper()
	const slots = 16384
	var servers []*Server
	for range 3 {
		servers = append(servers, start(t, freePort(t), "--cluster-enabled", "yes", "--cluster-node-timeout", "2000"))
	}
	for i, s := range servers {
		first, last := i*slots/len(servers), (i+1)*slots/len(servers)-1
		if _, err := s.Do("CLUSTER", "ADDSLOTSRANGE", first, last); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Do("CLUSTER", "SET-CONFIG-EPOCH", i+1); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Do("CLUSTER", "MEET", "127.0.0.1", servers[0].Port); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "cluster works", func() error {
		for _, s := range servers {
			answer, err := s.Do("CLUSTER", "INFO")
			if text := fmt.Sprint(answer); err != nil || !strings.Contains(text, "cluster_state:ok") || !strings.Contains(text, "cluster_known_nodes:3") {
				return fmt.Errorf("node %d says %v, %w", s.Port, answer, err)
			}
		}
		return nil
	})
	return servers
}

// ClusterConfig is the record redis of a plugin for a Cluster.
func ClusterConfig(servers []*Server) string {
	var nodes []string
	for _, s := range servers {
		nodes = append(nodes, fmt.Sprintf(`{"ip":"127.0.0.1","port":%d}`, s.Port))
	}
	return fmt.Sprintf(`{"cluster_nodes":[%s],"password":"%s","timeout":500}`, strings.Join(nodes, ","), Password)
}
