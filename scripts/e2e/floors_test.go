package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluice-gateway/sluice/"

// listed is what go list tells of a package.
type listedPackage struct {
	ImportPath, Doc, Dir               string
	Imports, TestImports, XTestImports []string
}

// packages lists every package of the workspace, once for all tests.
func packages(t *testing.T) []listedPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Doc,Dir,Imports,TestImports,XTestImports", "work")
	command.Dir = filepath.Join("..", "..")
	out, err := command.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []listedPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listedPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("go list found %d packages", len(all))
	}
	return all
}

// room is a package's path in the repository.
func room(importPath string) string { return strings.TrimPrefix(importPath, module) }

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

// TestFloors holds the borders that no wall may cross, tests included.
func TestFloors(t *testing.T) {
	forbidden := []struct {
		from, to, why string
		except        []string
	}{
		{from: "controlplane", to: module + "dataplane", why: "the planes meet on the wire only"},
		{from: "dataplane", to: module + "controlplane", why: "the planes meet on the wire only"},
		{from: "shared", to: module + "controlplane", why: "shared is below both planes"},
		{from: "shared", to: module + "dataplane", why: "shared is below both planes"},
		{from: "shared", to: module + "proto", why: "proto and shared do not know each other"},
		{from: "proto", to: module + "shared", why: "proto and shared do not know each other"},
		{from: "proto", to: module + "controlplane", why: "proto is below both planes"},
		{from: "proto", to: module + "dataplane", why: "proto is below both planes"},
		{from: "shared", to: "google.golang.org/grpc", why: "shared must not need gRPC"},
		{from: "shared", to: "go.etcd.io/bbolt", why: "shared must not need bbolt"},
		{from: "dataplane", to: "go.etcd.io/bbolt", why: "data planes have no database"},
		{from: "controlplane", to: "go.etcd.io/bbolt", why: "only the bolt backend knows bbolt", except: []string{"controlplane/internal/store/bolt"}},
		{
			from: "controlplane", to: module + "proto/gen", why: "generated proto stays at the edge",
			except: []string{"controlplane/internal/rpc"},
		},
		{
			from: "dataplane", to: module + "proto/gen", why: "generated proto stays at the edge",
			except: []string{"dataplane/internal/controlclient", "dataplane/internal/identity"},
		},
		{from: "deploy", to: module + "controlplane", why: "deploy has files for both planes, and no code of theirs"},
		{from: "deploy", to: module + "dataplane", why: "deploy has files for both planes, and no code of theirs"},
		{from: "scripts/bench", to: module + "controlplane", why: "only scripts/e2e sees both planes"},
		{from: "scripts/bench", to: module + "dataplane", why: "only scripts/e2e sees both planes"},
	}
	for _, p := range packages(t) {
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for _, rule := range forbidden {
				if !within(room(p.ImportPath), rule.from) || !within(imported, rule.to) || slices.Contains(rule.except, room(p.ImportPath)) {
					continue
				}
				t.Errorf("%s imports %s: %s", room(p.ImportPath), room(imported), rule.why)
			}
		}
	}
}

// TestArrowsPointDown holds the order of rooms inside a module: a room may import
// those of lower lines only, and its own parts.
func TestArrowsPointDown(t *testing.T) {
	for _, floors := range [][][]string{
		{
			{"controlplane/cmd"},
			{"controlplane"},
			{"controlplane/internal/admin", "controlplane/internal/rpc", "controlplane/internal/manager", "controlplane/internal/local"},
			{"controlplane/internal/intake"},
			{"controlplane/internal/catalog", "controlplane/internal/hub"},
			{"controlplane/internal/snapshot", "controlplane/internal/lease", "controlplane/internal/history", "controlplane/internal/access", "controlplane/internal/audit", "controlplane/internal/identity", "controlplane/internal/traffic"},
			{"controlplane/internal/store"},
			{"controlplane/internal/spool", "controlplane/internal/wire"},
		},
		{
			{"dataplane/cmd"},
			{"dataplane"},
			{"dataplane/internal/server", "dataplane/internal/status"},
			{"dataplane/internal/controlclient", "dataplane/internal/proxy"},
			{"dataplane/internal/plan"},
			{"dataplane/internal/router", "dataplane/internal/balancer", "dataplane/internal/pluginhost"},
			{"dataplane/internal/transport", "dataplane/internal/diskcache", "dataplane/internal/identity", "dataplane/internal/crashloop"},
			{"dataplane/internal/resolver"},
			{"dataplane/internal/config", "dataplane/internal/h2", "dataplane/internal/message", "dataplane/internal/cow", "dataplane/internal/accesslog", "dataplane/internal/counters"},
			{"dataplane/internal/rawio", "dataplane/internal/clock"},
		},
		{
			{"shared/plugins"},
			{"shared/pdk/pdktest"},
			{"shared/lua/kit"},
			{"shared/pdk"},
			{"shared/entity"},
			{"shared/lua"},
			{"shared/schema"},
		},
	} {
		level := func(importPath string) (folder string, height int) {
			height = -1
			for i, floor := range floors {
				for _, f := range floor {
					if within(room(importPath), f) && len(f) > len(folder) {
						folder, height = f, i
					}
				}
			}
			return folder, height
		}
		for _, p := range packages(t) {
			from, height := level(p.ImportPath)
			if height < 0 {
				continue
			}
			for _, imported := range p.Imports {
				to, below := level(imported)
				if below >= 0 && from != to && below <= height {
					t.Errorf("%s imports %s, which is not below it", room(p.ImportPath), room(imported))
				}
			}
		}
	}
}

// TestEveryPackageSaysWhatItOwns holds the rule that the code is its own map.
func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && !within(room(p.ImportPath), "proto/gen") {
			t.Errorf("%s has no package comment", room(p.ImportPath))
		}
	}
}
