package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// command runs a command of the control plane with the cluster's prefix.
func (c *cluster) command(args ...string) (string, error) {
	c.t.Helper()
	return tool(c.t, append([]string{"--prefix", c.prefix, "--cluster_listen", c.stream}, args...)...)
}

// run is command where it must succeed.
func (c *cluster) run(args ...string) string {
	c.t.Helper()
	out, err := c.command(args...)
	if err != nil {
		c.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return out
}

// joining starts a node with a join line and waits until it is ready.
func (c *cluster) joining(line string, settings ...string) *node {
	c.t.Helper()
	n := c.newNodeOf([]string{"--join", line}, settings...)
	n.start()
	n.ready()
	return n
}

// says waits until a program has written a text.
func (p *program) says(text string) {
	p.t.Helper()
	eventually(p.t, soon, func() error {
		if !strings.Contains(p.proc.Output(), text) {
			return fmt.Errorf("%s does not write %q", p.name, text)
		}
		return nil
	}, p)
}

func (n *node) nodeID() string {
	n.program.t.Helper()
	b, err := os.ReadFile(filepath.Join(n.prefix, "kong.id"))
	if err != nil {
		n.program.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// row is the node's row of the fleet.
func (c *cluster) row(n *node) map[string]any {
	c.t.Helper()
	for _, row := range c.get("/clustering/data-planes").list("data") {
		if row["id"] == n.nodeID() {
			return row
		}
	}
	return map[string]any{}
}

// is waits until the row of a node has a state.
func (c *cluster) is(n *node, state string) {
	c.t.Helper()
	eventually(c.t, soon, func() error {
		if got := c.row(n)["state"]; got != state {
			return fmt.Errorf("the node is %v, want %s", got, state)
		}
		return nil
	})
}

func expiry(row map[string]any) float64 {
	details, _ := row["cert_details"].(map[string]any)
	at, _ := details["expiry_timestamp"].(float64)
	return at
}

// A node joins with a token beside one that has the shared certificate, and both stay
// over restarts of everything.
func TestWalkJoin(t *testing.T) {
	c := newCluster(t, 1)
	up := newEcho(t, "up")
	c.control.says("--join sluicejoin.")
	line := c.run("token", "create", "--comment", "the walk")
	if !strings.HasSuffix(line, "@"+c.stream) || strings.Contains(line, "\n") {
		t.Fatalf("the join line is %q", line)
	}
	joined := c.joining(line)
	c.serve("one", up.URL, "/one")
	if info, err := os.Stat(filepath.Join(joined.prefix, "cluster-identity.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the identity: %v, %v", info, err)
	}
	row := c.row(joined)
	if left := time.Until(time.Unix(int64(expiry(row)), 0)); row["joined"] != true || left < 23*time.Hour || left > 25*time.Hour {
		t.Errorf("the row of the node: %v", row)
	}
	if row := c.row(c.nodes[0]); row["joined"] != false || expiry(row) == 0 {
		t.Errorf("the row of the node with the shared certificate: %v", row)
	}
	if out := c.run("nodes"); !strings.Contains(out, joined.nodeID()) || !strings.Contains(out, " own ") || !strings.Contains(out, " shared ") {
		t.Errorf("nodes:\n%s", out)
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(c.run("nodes", "--json")), &rows); err != nil || len(rows) != 2 {
		t.Errorf("nodes --json: %d rows, %v", len(rows), err)
	}

	// Without the join line: what is in the prefix is enough, the address included.
	joined.stop()
	joined.args = without(joined.args, "--join")
	joined.start()
	joined.ready()
	joined.get("/one")
	c.is(joined, "applied")
	c.control.stop()
	c.control.start()
	c.up()
	for _, n := range c.nodes {
		c.is(n, "applied")
	}
	c.serve("two", up.URL, "/two")
	joined.get("/two")
	c.control.kill()
	c.control.start()
	c.up()
	c.serve("three", up.URL, "/three")
}

// without takes a flag with its value out of a command line.
func without(args []string, flag string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if args[i] == flag {
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}

// A token is good for as many nodes as it says, and who tries more is seen.
func TestWalkUsedToken(t *testing.T) {
	c := newCluster(t, 0)
	line := c.run("token", "create", "--uses", "1", "--ttl", "30m")
	first := c.joining(line)
	thief := c.newNodeOf([]string{"--join", line})
	thief.start()
	thief.says("the join token is used up")
	if r := thief.status.try("GET", "/status/ready", nil); r.is(503) != nil {
		t.Error(r.is(503))
	}
	eventually(t, soon, func() error {
		for _, l := range c.get("/audit/requests?status=401").list("data") {
			if l["path"] == "/clustering/join" && l["method"] == "JOIN" && l["client_ip"] == "127.0.0.1" {
				return nil
			}
		}
		return errors.New("the audit log does not show who was refused")
	})
	if r := c.get("/clustering/data-planes").list("data"); len(r) != 1 {
		t.Errorf("%d nodes are listed", len(r))
	}
	var tokens []map[string]any
	if err := json.Unmarshal([]byte(c.run("token", "list", "--json")), &tokens); err != nil {
		t.Fatal(err)
	}
	used := 0
	for _, token := range tokens {
		if token["state"] == "used up" && token["used"] == float64(1) {
			used++
			if out, err := c.command("token", "revoke", token["id"].(string)); err != nil {
				t.Errorf("token revoke: %s %v", out, err)
			}
			if out, err := c.command("token", "revoke", token["id"].(string)); err == nil {
				t.Errorf("token revoke again: %s", out)
			}
		}
	}
	if used != 1 {
		t.Errorf("tokens: %v", tokens)
	}
	// The first stays, also over its own restart with the token that is no longer there.
	first.stop()
	first.start()
	first.ready()
	c.is(first, "applied")
	thief.stop()
}

// A certificate that lives for seconds is renewed again and again on one stream.
func TestWalkRenewal(t *testing.T) {
	c := newCluster(t, 0, "--cluster_node_cert_ttl", "4s")
	n := c.joining(c.run("token", "create"))
	before := expiry(c.row(n))
	for round := range 3 {
		eventually(t, soon, func() error {
			if at := expiry(c.row(n)); at <= before {
				return fmt.Errorf("round %d: the certificate ends at %v as before", round, at)
			}
			return nil
		}, n.program)
		before = expiry(c.row(n))
	}
	if times := strings.Count(n.proc.Output(), "connected to the control plane"); times != 1 {
		t.Errorf("the node has connected %d times", times)
	}
	eventually(t, soon, func() error {
		if at := n.status.get("/status").number("certificate", "expiry_timestamp"); at < before {
			return fmt.Errorf("the node says that its certificate ends at %v, the control plane at %v", at, before)
		}
		return nil
	}, n.program)
}

// The control plane is away for longer than a certificate lives: traffic goes on, also
// over a restart of the node, and when it is back the node renews.
func TestWalkExpiryInOutage(t *testing.T) {
	for _, test := range []struct {
		name, grace string
		uses        string
		back        bool
	}{
		{"within the grace", "10m", "1", true},
		{"later, with a token", "1s", "0", true},
		{"later, without a token", "1s", "1", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 0, "--cluster_node_cert_ttl", "2s", "--cluster_node_cert_grace", test.grace)
			up := newEcho(t, "up")
			n := c.joining(c.run("token", "create", "--uses", test.uses))
			c.serve("one", up.URL, "/one")
			c.control.kill()
			n.stop()
			n.start()
			n.ready()
			end := n.status.get("/status").number("certificate", "expiry_timestamp")
			eventually(t, soon, func() error {
				if r := n.try("GET", "/one", nil); r.is(200) != nil {
					t.Fatal(r.is(200))
				}
				if left := time.Until(time.Unix(int64(end)+2, 0)); left > 0 {
					return fmt.Errorf("%v are left", left)
				}
				return nil
			}, n.program)
			c.control.start()
			c.up()
			if test.back {
				c.is(n, "applied")
				c.serve("two", up.URL, "/two")
				return
			}
			n.says("has expired")
			n.get("/one")
			eventually(t, soon, func() error {
				if why := n.status.get("/status").text("certificate", "error"); !strings.Contains(why, "expired") {
					return fmt.Errorf("/status says %q", why)
				}
				return nil
			}, n.program)
			// A new token is what helps.
			n.stop()
			n.args = append(without(n.args, "--join"), "--join", c.run("token", "create"))
			n.start()
			c.is(n, "applied")
			c.serve("two", up.URL, "/two")
		})
	}
}

// A node that is revoked is parted with at once and goes on proxying what it has; once it
// is forgotten it may join again.
func TestWalkRevoke(t *testing.T) {
	c := newCluster(t, 1)
	up := newEcho(t, "up")
	n := c.joining(c.run("token", "create"))
	c.serve("one", up.URL, "/one")
	c.run("nodes", "revoke", n.nodeID())
	n.says("the node is revoked")
	c.is(n, "revoked")
	c.must("POST", "/services/one/routes", form("name", "late", "paths[]", "/late"), 201)
	c.nodes[0].serves("/late")
	n.get("/one")
	n.must("GET", "/late", nil, 404)
	n.stop()
	n.start()
	n.ready() // from the disk
	n.get("/one")
	n.says("the node is revoked")
	if out, err := c.command("nodes", "revoke", "no-such-node"); err == nil || !strings.Contains(out, "no-such-node") {
		t.Errorf("revoke of what is not there: %s %v", out, err)
	}
	c.run("nodes", "forget", n.nodeID())
	n.stop()
	n.args = append(without(n.args, "--join"), "--join", c.run("token", "create"))
	n.start()
	c.is(n, "applied")
	n.serves("/late")

	// The shared certificate's node, by its id.
	other := c.nodes[0]
	if out, err := c.command("nodes", "forget", other.nodeID()); err == nil || !strings.Contains(out, "listed again") {
		t.Errorf("forget of a connected one: %s %v", out, err)
	}
	c.run("nodes", "revoke", other.nodeID())
	c.is(other, "revoked")
	other.get("/one")
	other.stop()
	c.run("nodes", "forget", other.nodeID())
	other.start()
	c.is(other, "applied")
}

// The control plane of another cluster is not believed, with a token and with a
// certificate, and the node goes on with what it has.
func TestWalkWrongCluster(t *testing.T) {
	c, stranger := newCluster(t, 0), newCluster(t, 0)
	up := newEcho(t, "up")
	line := c.run("token", "create", "--address", stranger.stream)
	lost := c.newNodeOf([]string{"--join", line})
	lost.start()
	lost.says("the control plane is another cluster's")
	if used := stranger.get("/audit/requests").list("data"); len(used) != 0 {
		t.Errorf("the other cluster has heard of the token: %v", used)
	}
	lost.stop()

	n := c.joining(c.run("token", "create"))
	c.serve2(n, "one", up.URL, "/one")
	n.stop()
	n.args = append(without(n.args, "--join"), "--cluster_control_plane", stranger.stream)
	n.start()
	n.ready()
	n.says("the control plane is another cluster's")
	n.get("/one")
	if rows := stranger.get("/clustering/data-planes").list("data"); len(rows) != 0 {
		t.Errorf("the other cluster lists %v", rows)
	}
	n.stop()
	n.args = without(n.args, "--cluster_control_plane")
	n.start()
	c.is(n, "applied")
}

// serve2 is serve for one node.
func (c *cluster) serve2(n *node, name, url, path string) {
	c.t.Helper()
	c.must("POST", "/services", form("name", name, "url", url), 201)
	c.must("POST", "/services/"+name+"/routes", form("name", name, "paths[]", path), 201)
	n.serves(path)
}

// Two nodes with one id: the second neither joins nor takes the place of the first.
func TestWalkOneID(t *testing.T) {
	const id = "0b9a3ad0-5f1c-4c2b-8a53-8d6c0f8f4c11"
	c := newCluster(t, 0)
	up := newEcho(t, "up")
	line := c.run("token", "create", "--uses", "0")
	first := c.joining(line, "--node_id", id)
	c.serve2(first, "one", up.URL, "/one")
	second := c.newNodeOf([]string{"--join", line}, "--node_id", id)
	second.start()
	second.says("a node of that id is connected")
	second.stop()

	// With the shared certificate.
	third := c.newNode("--node_id", id)
	third.start()
	third.says("belongs to a node that has joined")
	third.stop()

	// With a copy of everything.
	fourth := c.newNodeOf(nil, "--node_id", id)
	if err := os.CopyFS(fourth.prefix, os.DirFS(first.prefix)); err != nil {
		t.Fatal(err)
	}
	fourth.start()
	fourth.says("another process with this node id is connected")
	fourth.get("/one") // it has the cache, too
	if rows := c.get("/clustering/data-planes").list("data"); len(rows) != 1 || rows[0]["connected"] != true {
		t.Errorf("listed are %v", rows)
	}
	first.get("/one")
	fourth.stop()
	first.stop()
}

// Backups are taken while the control plane runs and while it does not, and lead to the
// same; a node that joined after the backup is still known by its certificate.
func TestWalkBackup(t *testing.T) {
	c := newCluster(t, 1)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	file := filepath.Join(t.TempDir(), "hot.db")
	c.run("backup", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the backup: %v, %v", info, err)
	}
	if out, err := c.command("backup", file); err == nil {
		t.Errorf("a backup over a file: %s", out)
	}
	n := c.joining(c.run("token", "create"))
	c.serve("two", up.URL, "/two")
	if out, err := c.command("restore", file); err == nil || !strings.Contains(out, "in use") {
		t.Errorf("restore while it runs: %s %v", out, err)
	}
	c.control.stop()
	c.run("backup", file+".cold")
	c.run("restore", file)
	c.control.start()
	c.up()
	for _, each := range c.nodes {
		c.is(each, "applied")
		eventually(t, soon, func() error { return each.try("GET", "/two", nil).is(404) }, each.program)
		each.get("/one")
	}
	c.control.stop()
	c.run("restore", file+".cold")
	c.control.start()
	c.up()
	for _, each := range c.nodes {
		each.serves("/two")
	}
	c.is(n, "applied")
}

// A node that is drained is not ready and serves what comes all the same.
func TestWalkDrain(t *testing.T) {
	c := newCluster(t, 1)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	n := c.nodes[0]
	c.run("nodes", "drain", n.nodeID())
	n.status.must("GET", "/status/ready", nil, 503)
	n.get("/one")
	shows := func(draining bool) {
		t.Helper()
		eventually(t, soon, func() error {
			if got := c.get("/clustering/data-planes").list("data")[0]["draining"]; got != draining {
				return fmt.Errorf("the row says draining: %v, want %t", got, draining)
			}
			return nil
		}, n.program)
	}
	shows(true)
	c.run("nodes", "drain", "--off", n.nodeID())
	n.status.get("/status/ready")
	shows(false)
	n.stop()
	c.is(n, "away")
	if out, err := c.command("nodes", "drain", n.nodeID()); err == nil || !strings.Contains(out, "not connected") {
		t.Errorf("drain of one that is away: %s %v", out, err)
	}
}

// What is wrong on the command line is named, with an exit code of its own.
func TestWalkCommandLine(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "none")
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"nodes"}, 1, "no control plane runs"},
		{[]string{"nodes", "evict", "x"}, 2, "nodes revoke"},
		{[]string{"nodes", "revoke"}, 2, "ID is missing"},
		{[]string{"nodes", "revoke", "a", "b"}, 2, `"b"`},
		{[]string{"token"}, 2, "token create"},
		{[]string{"token", "create", "--ttl", "soon"}, 2, "--ttl"},
		{[]string{"token", "create", "--uses=-1"}, 2, "--uses"},
		{[]string{"token", "create", "--uses", "some"}, 2, "uses"},
		{[]string{"token", "create", "--color"}, 1, "color"},
		{[]string{"token", "create", "--address", "here"}, 1, "--address"},
		{[]string{"token", "list"}, 0, "STATE"},
		{[]string{"token", "create", "--help"}, 0, "--ttl TIME"},
		{[]string{"nodes", "--help"}, 0, "--json"},
		{[]string{"frobnicate"}, 2, "frobnicate"},
		{[]string{"--help"}, 0, "nodes drain"},
	} {
		dir, err := bin()
		if err != nil {
			t.Fatal(err)
		}
		p, err := process.Start(process.Options{
			Name: "sluice-controlplane", Path: filepath.Join(dir, "sluice-controlplane"), Args: append([]string{"--prefix", prefix}, test.args...), Env: process.Environ(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if code := p.ExitCode(); code != test.code || !strings.Contains(p.Output(), test.want) {
			t.Errorf("%q: exit code %d, want %d and %q:\n%s", test.args, code, test.code, test.want, p.Output())
		}
	}
	for name, line := range map[string]string{
		"no address": "sluicejoin.a.b.c", "cut": "sluicejoin.7e636f08fa8cb508.C81b15Ayz_3@127.0.0.1:8005", "no token": "secret@127.0.0.1:8005", "no file": "/not/there",
	} {
		p := &program{t: t, name: "sluice-dataplane", args: []string{"--prefix", t.TempDir(), "--join", line}}
		if out := p.fails(); !strings.Contains(out, "join: ") || strings.Contains(out, "C81b15Ayz") {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// The Admin API does the same from elsewhere, for admins only.
func TestWalkMembersAPI(t *testing.T) {
	c := &cluster{t: t, prefix: filepath.Join(t.TempDir(), "cp"), stream: process.FreeAddress()}
	admin := process.FreeAddress()
	c.client = &client{t: t, base: "http://" + admin}
	c.control = &program{t: t, name: "sluice-controlplane", args: []string{
		"--prefix", c.prefix, "--admin_listen", admin, "--cluster_listen", c.stream, "--status_listen", "off", "--enforce_rbac", "on", "--cluster_advertise", "cp.example:8005",
	}}
	c.control.start()
	eventually(t, soon, func() error { return c.try("GET", "/", nil).is(401) }, c.control)
	token := func(role string) headers {
		t.Helper()
		return headers{"Kong-Admin-Token", c.run("admin-token", "create", role, "role="+role)}
	}
	reader, editor, boss := token("read-only"), token("editor"), token("admin")
	for _, call := range []struct{ method, path string }{
		{"GET", "/clustering/tokens"},
		{"POST", "/clustering/tokens"},
		{"DELETE", "/clustering/tokens/x"},
		{"DELETE", "/clustering/data-planes/x"},
		{"POST", "/clustering/data-planes/x/revoke"},
		{"POST", "/clustering/data-planes/x/drain"},
	} {
		c.must(call.method, call.path, nil, 401)
		for _, who := range []headers{reader, editor} {
			c.must(call.method, call.path, nil, 403, who)
		}
	}
	made := c.must("POST", "/clustering/tokens", object{"uses": 3, "ttl": 600, "comment": "from afar"}, 201, boss)
	if line := made.text("join"); line != made.text("token")+"@cp.example:8005" || made.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the join line: %q", line)
	}
	path := "/clustering/tokens/" + made.text("id")
	if shown := c.must("GET", path, nil, 200, boss); shown.text("token") != "" || shown.text("join") != "" || shown.number("uses") != 3 || shown.text("state") != "good" {
		t.Errorf("the token is shown as %s", shown.body)
	}
	for _, wrong := range []object{{"uses": -1}, {"ttl": 0}, {"address": "here"}, {"secret": "mine"}} {
		c.must("POST", "/clustering/tokens", wrong, 400, boss)
	}
	line := c.must("POST", "/clustering/tokens", object{"address": c.stream}, 201, boss).text("join")
	c.must("DELETE", path, nil, 204, boss)
	c.must("GET", path, nil, 404, boss)

	n := c.newNodeOf([]string{"--join", line})
	n.start()
	id := "/clustering/data-planes/"
	eventually(t, soon, func() error {
		rows := c.must("GET", "/clustering/data-planes", nil, 200, reader).list("data")
		if len(rows) == 0 {
			return errors.New("no node is listed")
		}
		id = "/clustering/data-planes/" + rows[0]["id"].(string)
		return nil
	}, n.program)
	eventually(t, soon, func() error {
		if state := c.must("GET", id, nil, 200, reader).text("state"); state != "applied" {
			return fmt.Errorf("the node is %s", state)
		}
		return nil
	}, n.program)
	n.ready()
	c.must("POST", id+"/drain", nil, 204, boss)
	n.status.must("GET", "/status/ready", nil, 503)
	c.must("DELETE", id+"/drain", nil, 204, boss)
	c.must("POST", id+"/revoke", nil, 204, boss)
	n.says("the node is revoked")
	if row := c.must("GET", id, nil, 200, reader); row.text("state") != "revoked" || row.number("revoked_at") == 0 {
		t.Errorf("the row: %s", row.body)
	}
	eventually(t, soon, func() error { return c.try("POST", id+"/drain", nil, boss).is(409) })
	c.must("DELETE", id, nil, 204, boss)
	c.must("GET", id, nil, 404, boss)
	c.must("DELETE", id, nil, 404, boss)
	c.must("POST", id+"/revoke", nil, 404, boss)
	objects := fmt.Sprint(c.must("GET", "/audit/objects?dao_name=cluster_nodes", nil, 200, boss).list("data"))
	if !strings.Contains(objects, "revoke node") || !strings.Contains(objects, "admin") {
		t.Errorf("the audit log does not say who revoked: %s", objects)
	}
	secret := strings.Split(line, ".")[2]
	for _, log := range []string{"/audit/objects", "/audit/requests"} {
		if strings.Contains(string(c.must("GET", log, nil, 200, boss).body), secret) {
			t.Errorf("%s shows the secret of a token", log)
		}
	}
}

// verify says what is wrong with a store, and touches nothing.
func TestWalkVerify(t *testing.T) {
	c := newCluster(t, 0)
	c.must("POST", "/services", form("name", "one", "url", "http://127.0.0.1:1"), 201)
	c.must("POST", "/services/one/routes", form("name", "one", "paths[]", "/one"), 201)
	check := func(code int, want string, args ...string) {
		t.Helper()
		dir, err := bin()
		if err != nil {
			t.Fatal(err)
		}
		p, err := process.Start(process.Options{
			Name: "verify", Path: filepath.Join(dir, "sluice-controlplane"), Args: append([]string{"--prefix", c.prefix, "verify"}, args...), Env: process.Environ(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.ExitCode(); got != code || !strings.Contains(p.Output(), want) {
			t.Errorf("verify %q: exit code %d, want %d and %q:\n%s", args, got, code, want, p.Output())
		}
	}
	check(0, "good: lineage")
	check(0, `"running": true`, "--json")
	file := filepath.Join(t.TempDir(), "b.db")
	c.run("backup", file)
	check(0, "good: lineage", file)
	check(1, "in use", filepath.Join(c.prefix, "sluice.db"))
	check(1, "no such file", file+".none")
	check(2, "too much", file, file)
	c.control.stop()
	check(0, `"running": false`, "--json")

	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"a flipped letter": []byte(strings.ReplaceAll(string(b), `"name":"one"`, `"name":"onE"`)),
		"torn":             b[:len(b)/2],
		"noise":            []byte(strings.Repeat("noise", 10000)),
		"empty":            nil,
	} {
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		check(3, "problems", file)
		check(3, `"problems": [`, file, "--json")
		if out, err := c.command("restore", file); err == nil {
			t.Errorf("%s: restored: %s", name, out)
		}
		if after, err := os.ReadFile(file); err != nil || string(after) != string(damaged) {
			t.Errorf("%s: verify has changed the file: %v", name, err)
		}
	}
	c.control.start() // what was there is untouched
	c.up()
	c.get("/services/one")
}
