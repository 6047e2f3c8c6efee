package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// TestReadme types the walk of README.md, against make run on other ports, and
// compares what each command prints with what the text says.
func TestReadme(t *testing.T) {
	needs(t, "curl")
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, walk, found := strings.Cut(string(text), "## Walk through it")
	_, walk, opened := strings.Cut(walk, "```sh\n")
	walk, _, closed := strings.Cut(walk, "```")
	if !found || !opened || !closed {
		t.Fatal("README.md has no walk")
	}
	args := []string{"-state", t.TempDir()}
	for name, port := range map[string]string{
		"-admin": "8001", "-manager": "8002", "-cluster": "8005", "-control-status": "8006", "-proxy": "8000", "-proxy-tls": "8443", "-data-status": "8007", "-upstream": "8100",
	} {
		address := process.FreeAddress()
		args = append(args, name, address)
		walk = regexp.MustCompile(`(localhost|127\.0\.0\.1):`+port+`\b`).ReplaceAllString(walk, address)
	}
	walk = strings.ReplaceAll(walk, "127.0.0.1:8199", deadAddress(t))

	p := &program{t: t, name: "run", args: args}
	p.start()
	eventually(t, 2*soon, func() error {
		if !strings.Contains(p.proc.Output(), "Ctrl-C stops everything.") {
			return errors.New("make run is not ready")
		}
		return nil
	}, p)
	inFreshMinute(t)
	walk = strings.ReplaceAll(walk, "\\\n", " ")
	for line := range strings.Lines(walk) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		out, err := exec.Command("bash", "-c", line).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		want := regexp.MustCompile(`^HTTP/1\.1 200 `)
		switch {
		case strings.HasSuffix(line, "# 401"):
			want = regexp.MustCompile(`^HTTP/1\.1 401 `)
		case strings.Contains(line, "-X POST"):
			want = regexp.MustCompile(`^HTTP/1\.1 201 `)
		case strings.Contains(line, "grep X-Cache-Status"):
			want = regexp.MustCompile(`^X-Cache-Status: (Miss|Hit)\r?\n$`)
		case strings.HasPrefix(line, "for "):
			want = regexp.MustCompile(`^(200\n)+429\n$`)
		}
		// curl's meter comes first, on standard error.
		shown := string(out)
		if at := strings.Index(shown, "HTTP/1.1"); at > 0 {
			shown = shown[at:]
		}
		if !want.MatchString(shown) {
			t.Errorf("%s\nprints %s\nwant %s", line, shown, want)
		}
		// What a person needs to read the answer and to type the next line.
		time.Sleep(200 * time.Millisecond)
	}
	if err := p.proc.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.proc.ExitCode(); code != 0 {
		t.Errorf("make run exits with %d", code)
	}
}
