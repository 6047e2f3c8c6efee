package deploy

import (
	"archive/tar"
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestReleaseIsReproducible builds archives in two folders, from two copies of the tree
// with other times and permissions, and compares the checksums. RELEASE_COLD=1 gives each
// build an empty cache of its own, which takes minutes.
func TestReleaseIsReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("it links both programs twice")
	}
	needs(t, "git", "sha256sum", "tar", "gzip")
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "git", "-C", root, "rev-parse").CombinedOutput(); err != nil {
		t.Skipf("this tree is no git repository: %s", out)
	}
	const version = "1.2.3-test"
	platform := "linux/" + runtime.GOARCH
	release := func(name, umask string) (folder, sums string) {
		t.Helper()
		tree := filepath.Join(t.TempDir(), name)
		folder = filepath.Join(t.TempDir(), "out")
		// What is committed, and what is changed here since.
		script := `set -eu; umask ` + umask + `; mkdir -p "$2"
			git -C "$1" ls-files -z --cached --others --exclude-standard | (cd "$1" && xargs -0 ls -d 2>/dev/null) | tar -C "$1" -cf - -T - | tar -C "$2" --no-same-permissions -xmf -
			exec "$2/scripts/release.sh" "$3"`
		command := exec.CommandContext(t.Context(), "bash", "-c", script, "release", root, tree, folder)
		command.Env = append(os.Environ(), "VERSION="+version, "COMMIT=0123456789ab", "SOURCE_DATE_EPOCH=1000000000", "PLATFORMS="+platform, "GOFLAGS=")
		if os.Getenv("RELEASE_COLD") != "" {
			command.Env = append(command.Env, "GOCACHE="+t.TempDir())
		}
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(filepath.Join(folder, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		return folder, string(text)
	}
	folder, first := release("one", "022")
	if _, second := release("another/deeper", "077"); first != second {
		t.Errorf("two builds differ:\n%s\n%s", first, second)
	}
	archive := fmt.Sprintf("sluice-%s-linux-%s", version, runtime.GOARCH)
	if !strings.HasSuffix(first, "  "+archive+".tar.gz\n") {
		t.Errorf("checksums are of %q", first)
	}
	programs := unpack(t, filepath.Join(folder, archive+".tar.gz"), archive)
	for _, name := range []string{"sluice-controlplane", "sluice-dataplane"} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(programs, archive, name), "version").Output()
		if want := name + " " + version + "+0123456789ab"; err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("%s version prints %q (%v), want %q", name, out, err, want)
		}
	}
	// The data plane is built by what make pgo has seen of it, and without what sees it.
	info, err := buildinfo.ReadFile(filepath.Join(programs, archive, "sluice-dataplane"))
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]string{}
	for _, s := range info.Settings {
		has[s.Key] = s.Value
	}
	if has["-pgo"] != "default.pgo" || has["-tags"] != "" {
		t.Errorf("the data plane is built with -pgo %q and -tags %q", has["-pgo"], has["-tags"])
	}
}

// unpack checks what an archive has, and returns where it is unpacked.
func unpack(t *testing.T, path, top string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	want := map[string]bool{}
	for _, name := range []string{
		"sluice-controlplane", "sluice-dataplane", "controlplane.conf", "dataplane.conf", "README.md", "CHANGELOG.md", "LICENSE", "quickstart.sh",
		"systemd/sluice-controlplane.service", "systemd/sluice-dataplane.service",
	} {
		want[top+"/"+name] = true
	}
	for archive := tar.NewReader(plain); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 1000000000 || h.Uid != 0 || h.Gid != 0 || h.Mode&0o022 != 0 || h.Mode&0o444 != 0o444 {
			t.Errorf("%s: time %v, owner %d:%d, mode %o", h.Name, h.ModTime, h.Uid, h.Gid, h.Mode)
		}
		target := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(target, 0o750); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !want[h.Name] {
			t.Errorf("%s should not be in the archive", h.Name)
		}
		delete(want, h.Name)
		out, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o700)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(out, archive)
		if err := errors.Join(err, out.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for name := range want {
		t.Errorf("%s is not in the archive", name)
	}
	return dir
}
