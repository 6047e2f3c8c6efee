package settings_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/settings"
)

// load reads with neither the machine's files nor its environment.
func load(t *testing.T, plane settings.Plane, environ []string, args ...string) (*settings.Settings, error) {
	t.Helper()
	return settings.Load(settings.Options{Plane: plane, Args: args, Environ: environ, Files: []string{}})
}

func mustLoad(t *testing.T, plane settings.Plane, environ []string, args ...string) *settings.Settings {
	t.Helper()
	s, err := load(t, plane, environ, args...)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return s
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "some.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsOfBothPlanesAreValid(t *testing.T) {
	for _, plane := range []settings.Plane{settings.ControlPlane, settings.DataPlane} {
		s := mustLoad(t, plane, nil)
		for _, k := range settings.Keys(plane) {
			if s.Source(k.Name) != "default" || s.IsSet(k.Name) {
				t.Errorf("%s: %s came from %q", plane, k.Name, s.Source(k.Name))
			}
		}
		if len(s.Warnings()) > 0 || s.File() != "" {
			t.Errorf("%s: warnings %v, file %q", plane, s.Warnings(), s.File())
		}
	}
}

func TestTableHasNoHalfKeys(t *testing.T) {
	for _, plane := range []settings.Plane{settings.ControlPlane, settings.DataPlane} {
		seen := map[string]bool{}
		for _, k := range settings.Keys(plane) {
			if seen[k.Name] {
				t.Errorf("%s: %s stands twice", plane, k.Name)
			}
			seen[k.Name] = true
			if k.Kind == 0 || !strings.HasSuffix(k.Description, ".") || k.Name != strings.ToLower(k.Name) {
				t.Errorf("%s: %q lacks a kind, a sentence or lower case", plane, k.Name)
			}
			if !strings.Contains(settings.Usage(plane, "x"), "  "+k.Name) {
				t.Errorf("%s: %s is not in the usage", plane, k.Name)
			}
		}
	}
}

func TestLaterSourcesWin(t *testing.T) {
	file := write(t, "log_level = error\nprefix = /from/file # a comment\nadmin_listen = 127.0.0.1:1\nadmin_gui_path=/a\\#b\n")
	environ := []string{"SLUICE_LOG_LEVEL=warn", "KONG_LOG_LEVEL=info", "KONG_ADMIN_LISTEN=127.0.0.1:2"}
	s := mustLoad(t, settings.ControlPlane, environ, "-c", file, "--log-level=debug", "start")
	got := map[string]string{
		"log_level":      s.String("log_level"),
		"its source":     s.Source("log_level"),
		"prefix":         s.Path("prefix"),
		"prefix source":  s.Source("prefix"),
		"admin_listen":   s.Listeners("admin_listen")[0].Address,
		"listen source":  s.Source("admin_listen"),
		"escaped hash":   s.String("admin_gui_path"),
		"file":           s.File(),
		"first argument": s.Args()[0],
	}
	want := map[string]string{
		"log_level": "debug", "its source": "flag --log_level", "prefix": "/from/file", "prefix source": file + ":2",
		"admin_listen": "127.0.0.1:2", "listen source": "environment KONG_ADMIN_LISTEN", "escaped hash": "/a#b", "file": file,
		"first argument": "start",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if s := mustLoad(t, settings.ControlPlane, environ[:2]); s.String("log_level") != "warn" {
		t.Errorf("log_level = %s, want SLUICE_ to win over KONG_", s.String("log_level"))
	}
	if s := mustLoad(t, settings.ControlPlane, []string{"KONG_LOG_LEVEL="}); s.String("log_level") != "notice" {
		t.Errorf("log_level = %s, want the default for an empty value", s.String("log_level"))
	}
}

func TestFirstDefaultFileThatExists(t *testing.T) {
	missing, present := filepath.Join(t.TempDir(), "none.conf"), write(t, "log_level = warn\n")
	s, err := settings.Load(settings.Options{Plane: settings.DataPlane, Files: []string{missing, present, missing}})
	if err != nil || s.File() != present || s.String("log_level") != "warn" {
		t.Errorf("Load = %v, %v; want the second file's values", s, err)
	}
	if _, err := load(t, settings.DataPlane, nil, "--conf", missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load with a missing --conf: %v, want os.ErrNotExist", err)
	}
}

func TestRefused(t *testing.T) {
	cp, dp := settings.ControlPlane, settings.DataPlane
	for _, test := range []struct {
		name    string
		plane   settings.Plane
		environ string
		args    []string
		file    string
		want    string
	}{
		{name: "unknown variable", plane: dp, environ: "SLUICE_PROXY_LISTNE=off", want: "unknown setting SLUICE_PROXY_LISTNE; did you mean SLUICE_PROXY_LISTEN? (environment SLUICE_PROXY_LISTNE)"},
		{name: "unknown flag", plane: cp, args: []string{"--admin-lisen", "off"}, want: "unknown setting admin_lisen; did you mean admin_listen? (flag --admin_lisen)"},
		{name: "unknown in the file", plane: cp, file: "\nlog_levle = info", want: "unknown setting log_levle; did you mean log_level? (FILE:2)"},
		{name: "far from any", plane: cp, environ: "SLUICE_ZZZZZZ=1", want: "zzzzzz: unknown setting SLUICE_ZZZZZZ (environment SLUICE_ZZZZZZ)"},
		{name: "meaningless under our prefix", plane: cp, environ: "SLUICE_PG_HOST=db", want: "pg_host: this setting of Kong has no meaning in Sluice (environment SLUICE_PG_HOST)"},
		{name: "flag of the other plane", plane: cp, args: []string{"--trusted_ips=::1"}, want: "trusted_ips: is a setting of the other plane (flag --trusted_ips)"},
		{name: "flag without value", plane: cp, args: []string{"--log_level"}, want: "log_level: needs a value"},
		{name: "bad line", plane: cp, file: "what is this", want: `"what is this" is not of the form key = value (FILE:1)`},
		{name: "wrong word", plane: dp, environ: "KONG_ROUTER_FLAVOR=new", want: `router_flavor: "new": expected one of: traditional_compatible, traditional, expressions (environment KONG_ROUTER_FLAVOR)`},
		{name: "wrong bool", plane: dp, environ: "KONG_ALLOW_DEBUG_HEADER=maybe", want: `allow_debug_header: "maybe": expected on, off, true, false, yes or no`},
		{name: "wrong number", plane: dp, environ: "SLUICE_UPSTREAM_KEEPALIVE_POOL_SIZE=many", want: `"many": expected a whole number`},
		{name: "number out of range", plane: dp, environ: "SLUICE_UPSTREAM_KEEPALIVE_POOL_SIZE=-1", want: "expected a number between 0 and"},
		{name: "wrong duration", plane: dp, environ: "SLUICE_DNS_STALE_TTL=5 years", want: "expected seconds, or a time"},
		{name: "endless duration", plane: dp, environ: "SLUICE_DNS_STALE_TTL=1e300", want: "expected seconds, or a time"},
		{name: "wrong size", plane: dp, environ: "SLUICE_NGINX_HTTP_CLIENT_MAX_BODY_SIZE=8q", want: "expected a number of bytes"},
		{name: "wrong network", plane: dp, environ: "SLUICE_TRUSTED_IPS=10.0.0.0/8,me", want: `"me" is neither an IP address nor a CIDR range`},
		{name: "wrong label", plane: dp, environ: "SLUICE_CLUSTER_DP_LABELS=zone", want: `"zone" is not of the form key:value`},
		{name: "wrong header", plane: dp, environ: "SLUICE_HEADERS=X-Other", want: `"X-Other" is not one of: server_tokens`},
		{name: "off with others", plane: dp, environ: "SLUICE_HEADERS=off,Via", want: "off stands alone"},
		{name: "wrong address", plane: dp, environ: "SLUICE_CLUSTER_CONTROL_PLANE=cp", want: "expected host:port"},
		{name: "wrong port", plane: dp, environ: "SLUICE_CLUSTER_CONTROL_PLANE=cp:x", want: `"x" is not a port`},
		{name: "wrong log", plane: dp, environ: "SLUICE_PROXY_ACCESS_LOG=a b c", want: "expected off, or a path and at most one format name"},
		{name: "wrong tls version", plane: dp, environ: "SLUICE_SSL_PROTOCOLS=TLSv1.2 SSLv3", want: `"SSLv3" is not one of`},
		{name: "wrong listener", plane: dp, environ: "SLUICE_PROXY_LISTEN=8000", want: "8000 is not of the form ip:port"},
		{name: "role of the other plane", plane: cp, environ: "KONG_ROLE=data_plane", want: "expected one of: traditional, control_plane"},
		{name: "certificate without key", plane: dp, environ: "KONG_CLUSTER_CERT=/a.crt", want: "cluster_cert_key: must be set with cluster_cert (environment KONG_CLUSTER_CERT)"},
		{name: "two certificates, one key", plane: dp, args: []string{"--ssl_cert=/a,/b", "--ssl_cert_key=/a"}, want: "has 1 entries and ssl_cert has 2"},
		{name: "pki without authority", plane: dp, environ: "KONG_CLUSTER_MTLS=pki", want: "cluster_ca_cert: must be set when cluster_mtls is pki"},
		{name: "unknown vault", plane: dp, environ: "KONG_PREFIX={vault://hcv/x}", want: `vault "hcv" can not be used`},
		{name: "empty vault variable", plane: dp, environ: "KONG_PREFIX={vault://env/not-there}", want: "the environment has no NOT_THERE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := test.args
			if test.file != "" {
				file := write(t, test.file)
				args = append(args, "-c", file)
				test.want = strings.ReplaceAll(test.want, "FILE", file)
			}
			_, err := load(t, test.plane, []string{test.environ}, args...)
			if _, ok := errors.AsType[*settings.Error](err); !ok {
				t.Fatalf("Load: %v, want an *Error", err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("Load: %v\nwant it to hold: %s", err, test.want)
			}
		})
	}
}

func TestSecretsAreNeitherShownNorReported(t *testing.T) {
	_, err := load(t, settings.DataPlane, []string{"KONG_CLUSTER_CERT=/a", "KONG_CLUSTER_CERT_KEY={vault://hunter2"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Load: %v, want an error without the value", err)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := load(t, settings.DataPlane, []string{"SLUICE_X=1", "SLUICE_PROXY_LISTEN=x", "KONG_LOG_LEVEL=loud"})
	var problems *settings.Error
	if !errors.As(err, &problems) || len(problems.Problems) != 3 {
		t.Errorf("Load: %v, want three problems", err)
	}
}

func TestIgnoredIsOneWarning(t *testing.T) {
	file := write(t, "pg_host = db\nnginx_http_gzip = on\nadmin_listen = off\nproxy_listen = off\n")
	s := mustLoad(t, settings.DataPlane, []string{
		"KONG_PG_PASSWORD=x", "KONG_ANYTHING=1", "KONG_ADMIN_LISTEN=off", "SLUICE_ADMIN_LISTEN=off", "SLUICE_REFERENCE=/x",
		"SLUICE_CONTROLPLANE_SERVICE_HOST=10.0.0.1", "SLUICE_CONTROLPLANE_PORT_8001_TCP=tcp://x", "SLUICE_ADMIN_PORT=tcp://10.0.0.1:80",
		"KONG_PROXY_PORT_80_TCP_ADDR=10.0.0.1", "PATH=/bin",
	}, "-c", file)
	want := []string{
		"ignored settings in " + file + " without a meaning here: nginx_http_gzip, pg_host",
		"ignored environment variables without a meaning here: KONG_ANYTHING, KONG_PG_PASSWORD",
		"ignored environment variables of the other plane without a meaning here: SLUICE_ADMIN_LISTEN",
	}
	if diff := cmp.Diff(want, s.Warnings()); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if len(s.Listeners("proxy_listen")) != 0 {
		t.Error("proxy_listen = off was not obeyed")
	}
}

// TestTLSSettingsWithoutAMeaning holds that those which crypto/tls has no use for are taken
// and told of, since it has no finite-field Diffie-Hellman and always prefers its own order
// of suites, and that the timeout of sessions is not among them.
func TestTLSSettingsWithoutAMeaning(t *testing.T) {
	file := write(t, "ssl_dhparam = /x/dh.pem\nssl_prefer_server_ciphers = on\nssl_session_cache_size = 10m\nssl_session_timeout = 2h\nport_maps = 80:8000\n")
	s := mustLoad(t, settings.DataPlane, nil, "-c", file)
	want := []string{"ignored settings in " + file + " without a meaning here: ssl_dhparam, ssl_prefer_server_ciphers, ssl_session_cache_size"}
	if diff := cmp.Diff(want, s.Warnings()); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if got := s.Duration("ssl_session_timeout"); got != 2*time.Hour {
		t.Errorf("ssl_session_timeout = %v", got)
	}
	if got := mustLoad(t, settings.DataPlane, nil).Duration("ssl_session_timeout"); got != 24*time.Hour {
		t.Errorf("ssl_session_timeout = %v unless it is set", got)
	}
}

func TestHelpAndVersion(t *testing.T) {
	for args, want := range map[string]error{"--help": settings.ErrHelp, "-h": settings.ErrHelp, "--version": settings.ErrVersion, "-v": settings.ErrVersion} {
		if _, err := load(t, settings.ControlPlane, nil, args); !errors.Is(err, want) {
			t.Errorf("Load(%s): %v, want %v", args, err, want)
		}
	}
}

func TestAccessors(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s := mustLoad(t, settings.DataPlane, []string{"MY_ZONE=zone:b"},
		"--prefix", "here", "--allow_debug_header", "--real_ip_recursive", "yes", "--upstream_keepalive_idle_timeout=1m30s",
		"--dns_stale_ttl", "2.5", "--nginx_http_client_max_body_size=8M", "--cluster_dp_labels={vault://env/my-zone}",
		"--trusted_ips=10.0.0.0/8, unix:", "--headers=VIA, x-kong-request-id", "--proxy_error_log=/dev/stderr",
		"--proxy_access_log=logs/a.log combined", "--", "--not-a-flag")
	got := map[string]any{
		"path": s.Path("prefix"), "lone bool": s.Bool("allow_debug_header"), "bool": s.Bool("real_ip_recursive"),
		"chain": s.Duration("upstream_keepalive_idle_timeout"), "fraction": s.Duration("dns_stale_ttl"), "unset": s.Duration("dns_valid_ttl"),
		"size": s.Size("nginx_http_client_max_body_size"), "labels": s.Labels("cluster_dp_labels"), "networks": s.List("trusted_ips"),
		"list": s.List("headers"), "log": s.Log("proxy_error_log"), "relative log": s.Log("proxy_access_log"), "int": s.Int("upstream_keepalive_pool_size"),
		"args": s.Args(), "address": s.String("cluster_control_plane"),
	}
	want := map[string]any{
		"path": filepath.Join(dir, "here"), "lone bool": true, "bool": true, "chain": 90 * time.Second, "fraction": 2500 * time.Millisecond,
		"unset": time.Duration(0), "size": int64(8 << 20), "labels": map[string]string{"zone": "b"}, "networks": []string{"10.0.0.0/8", "unix:"},
		"list": []string{"Via", "X-Kong-Request-Id"}, "log": settings.LogTarget{Path: "/dev/stderr"}, "int": 512,
		"relative log": settings.LogTarget{Path: filepath.Join(dir, "here", "logs/a.log"), Format: "combined"},
		"args":         []string{"--not-a-flag"}, "address": "127.0.0.1:8005",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestAccessorsPanicOnMistakes(t *testing.T) {
	s := mustLoad(t, settings.DataPlane, nil)
	for name, read := range map[string]func(){
		"no such key":           func() { s.String("nothing") },
		"key of the other side": func() { s.Listeners("admin_listen") },
		"another kind":          func() { s.Int("log_level") },
		"source of none":        func() { s.Source("nothing") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			read()
		})
	}
}

func TestPEM(t *testing.T) {
	const text = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
	file := write(t, text)
	for name, given := range map[string]string{
		"path": file, "text": text, "base64": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BQT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=",
	} {
		s := mustLoad(t, settings.DataPlane, []string{"KONG_CLUSTER_CERT=" + given, "KONG_CLUSTER_CERT_KEY=" + file, "KONG_SSL_CERT=" + given, "KONG_SSL_CERT_KEY=" + file})
		data, err := s.PEM("cluster_cert")
		if err != nil || strings.TrimSpace(string(data)) != strings.TrimSpace(text) {
			t.Errorf("%s: PEM = %q, %v", name, data, err)
		}
		if list, err := s.PEMs("ssl_cert"); err != nil || len(list) != 1 {
			t.Errorf("%s: PEMs = %q, %v", name, list, err)
		}
	}
	s := mustLoad(t, settings.DataPlane, []string{"KONG_CLUSTER_CERT=/not/there", "KONG_CLUSTER_CERT_KEY=" + write(t, "no pem"), "KONG_SSL_CERT=/not/there", "KONG_SSL_CERT_KEY=/not/there"})
	if _, err := s.PEM("cluster_cert"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("PEM of a missing file: %v", err)
	}
	if _, err := s.PEM("cluster_cert_key"); err == nil || !strings.Contains(err.Error(), "holds no PEM block") {
		t.Errorf("PEM of another file: %v", err)
	}
	if _, err := s.PEMs("ssl_cert"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("PEMs of a missing file: %v", err)
	}
	if data, err := mustLoad(t, settings.DataPlane, nil).PEM("cluster_cert"); data != nil || err != nil {
		t.Errorf("PEM unset = %q, %v; want nothing", data, err)
	}
	if s := mustLoad(t, settings.DataPlane, nil); !s.HasSystem("lua_ssl_trusted_certificate") {
		t.Error("the machine's authorities are not trusted by default")
	}
}

func TestFlagsOfCommandsPass(t *testing.T) {
	load := func(args ...string) (*settings.Settings, error) {
		return settings.Load(settings.Options{Plane: settings.ControlPlane, Args: args, Files: []string{}, Pass: []string{"ttl", "json", "help"}})
	}
	s, err := load("--prefix", "/x", "token", "create", "--ttl", "1h", "--log_level=info", "--json", "--ttl=2h", "--help")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"token", "create", "--ttl", "1h", "--json", "--ttl=2h", "--help"}
	if got := s.Args(); !slices.Equal(got, want) || s.Path("prefix") != "/x" || s.String("log_level") != "info" {
		t.Errorf("arguments are %q, want %q; prefix %s", got, want, s.Path("prefix"))
	}
	if _, err := load("--ttl", "1h", "token"); err == nil {
		t.Error("a flag of a command before the command is taken")
	}
	if _, err := load("--help", "token"); !errors.Is(err, settings.ErrHelp) {
		t.Errorf("--help before the command: %v", err)
	}
	if _, err := load("token", "--color"); err == nil {
		t.Error("an unknown flag passes")
	}
}
