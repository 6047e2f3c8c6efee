package compose

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-gateway/sluice/shared/settings"
)

// load reads files as `docker compose` v2 does, with all profiles.
func load(t *testing.T, dir string, files ...string) *types.Project {
	t.Helper()
	details := types.ConfigDetails{WorkingDir: dir, Environment: map[string]string{}}
	for _, name := range files {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: dir + "/" + name})
	}
	project, err := loader.LoadWithContext(t.Context(), details, func(o *loader.Options) {
		o.SetProjectName("test", true)
		o.Profiles = []string{"*"}
	})
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// checkOld lets docker-compose 1.29 read the files, where it is.
func checkOld(t *testing.T, dir string, files ...string) {
	t.Helper()
	if _, err := exec.LookPath("docker-compose"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("docker-compose is missing: scripts/deps.sh installs it")
		}
		t.Log("docker-compose 1.29 is not here to read the files")
		return
	}
	var args []string
	for _, name := range files {
		args = append(args, "-f", name)
	}
	command := exec.CommandContext(t.Context(), "docker-compose", append(args, "config", "--quiet")...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("docker-compose config: %v\n%s", err, out)
	}
}

// environ is the environment of a service.
func environ(s types.ServiceConfig) []string {
	var out []string
	for name, value := range s.Environment {
		if value != nil {
			out = append(out, name+"="+*value)
		}
	}
	return out
}

// checkSettings loads a service's environment as the program in its image does.
func checkSettings(t *testing.T, s types.ServiceConfig) *settings.Settings {
	t.Helper()
	plane := settings.DataPlane
	if strings.HasPrefix(s.Image, "sluice/controlplane:") {
		plane = settings.ControlPlane
	}
	loaded, err := settings.Load(settings.Options{Plane: plane, Environ: environ(s), Files: []string{}})
	if err != nil {
		t.Errorf("%s: %v", s.Name, err)
	}
	return loaded
}

var secret = regexp.MustCompile(`(?i)(password|passwd|secret|token|_key)$`)

func TestDemoFile(t *testing.T) {
	checkOld(t, ".", "docker-compose.yml")
	project := load(t, ".", "docker-compose.yml")
	var planes []string
	for name, s := range project.Services {
		if s.Name != name || len(s.CapDrop) != 1 || s.CapDrop[0] != "ALL" || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s may do more than it needs: %v, %v", name, s.CapDrop, s.SecurityOpt)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to other machines", name, p.Published)
			}
		}
		for variable, value := range s.Environment {
			// What names a file is no secret.
			if secret.MatchString(variable) && value != nil && !strings.HasPrefix(*value, "/") {
				t.Errorf("%s: %s is in the file", name, variable)
			}
		}
		if !strings.HasPrefix(s.Image, "sluice/") {
			if strings.HasSuffix(s.Image, ":latest") || !strings.Contains(s.Image, ":") {
				t.Errorf("%s: %s may be another image tomorrow", name, s.Image)
			}
			continue
		}
		if !s.ReadOnly {
			t.Errorf("%s may write to its root", name)
		}
		if strings.HasPrefix(s.Image, "sluice/demo:") || name == "certificate" {
			continue
		}
		planes = append(planes, name)
		if loaded := checkSettings(t, s); loaded != nil && len(loaded.Warnings()) > 0 {
			t.Errorf("%s: %v", name, loaded.Warnings())
		}
		if s.HealthCheck == nil || !slices.Equal(s.HealthCheck.Test, []string{"CMD", "sluice", "health"}) {
			t.Errorf("%s has the health check %+v", name, s.HealthCheck)
		}
		// Each has a volume of its own, so that what it keeps outlives it.
		if !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == "/var/lib/sluice" && v.Source == name }) {
			t.Errorf("%s keeps nothing: %+v", name, s.Volumes)
		}
		if network := s.Networks["default"]; strings.HasPrefix(name, "dataplane") && (network == nil || !slices.Contains(network.Aliases, "dataplane")) {
			t.Errorf("the balancer does not find %s", name)
		}
	}
	slices.Sort(planes)
	if want := []string{"controlplane", "dataplane-1", "dataplane-2", "dataplane-3", "dataplane-4", "dataplane-5"}; !slices.Equal(planes, want) {
		t.Errorf("planes are %v, want %v", planes, want)
	}
}

// A deployment of Kong, and what changes in it: the names of images only.
func TestKongFile(t *testing.T) {
	checkOld(t, "kong", "docker-compose.yml", "sluice.yml")
	before, after := load(t, "kong", "docker-compose.yml"), load(t, "kong", "docker-compose.yml", "sluice.yml")
	changed := 0
	for name, s := range after.Services {
		old := before.Services[name]
		if s.Image != old.Image {
			changed++
			if old.Image != "kong:3.9" || !strings.HasPrefix(s.Image, "sluice/") {
				t.Errorf("%s: %s became %s", name, old.Image, s.Image)
			}
			checkSettings(t, s)
		}
		s.Image = old.Image
		if diff := cmp.Diff(old, s, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: more changed than its image: %s", name, diff)
		}
	}
	if changed != 4 || len(after.Services) != len(before.Services) {
		t.Errorf("%d images changed", changed)
	}
	text, err := os.ReadFile("kong/sluice.yml")
	if err != nil {
		t.Fatal(err)
	}
	if other := regexp.MustCompile(`(?m)^(#.*|services:|  [a-z-]+:|    image: sluice/(controlplane|dataplane):\S+)?\n`).ReplaceAll(text, nil); len(other) > 0 {
		t.Errorf("kong/sluice.yml changes more than names of images: %s", other)
	}
}
