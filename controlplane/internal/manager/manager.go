// Package manager serves admin_gui_listen: the web UI that make manager built into
// dist, and the settings that it needs to find the Admin API, in the form that Kong's
// manager reads. It owns paths, caching, compression and the Content-Security-Policy
// of the UI, whose sources are in controlplane/manager. It refuses to serve anything of
// the Admin API. Without a built UI it serves a page that says how to get one.
package manager

import (
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Options of a Handler.
type Options struct {
	// Path prefix of the manager, such as "/".
	Path string
	// APIURL is the Admin API as browsers see it; "" means the page's host with Port, or
	// SecurePort for https.
	APIURL string
	// Port and SecurePort are those of the Admin API; 0 means that it has none.
	Port, SecurePort int
	// Version of the control plane.
	Version string
	// Expressions allows WebAssembly, which the editor of expressions runs on.
	Expressions bool
	// Files is the built UI: files by their path, those whose names end in .gz
	// compressed. nil means Built.
	Files fs.FS
}

// New makes the handler. It reads all of Files.
func New(o Options) (http.Handler, error) {
	if o.Files == nil {
		o.Files = Built()
	}
	prefix := "/" + strings.Trim(o.Path, "/")
	if prefix != "/" {
		prefix += "/"
	}
	files, err := load(o.Files, prefix)
	if err != nil {
		return nil, fmt.Errorf("load manager: %w", err)
	}
	settings, err := kconfig(o, prefix)
	if err != nil {
		return nil, fmt.Errorf("write kconfig.js: %w", err)
	}
	index, built := files["index.html"]
	if !built {
		index = newFile("index.html", []byte(notBuilt), false)
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+prefix+"kconfig.js", newFile("kconfig.js", settings, false))
	mux.HandleFunc("GET "+prefix, func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, prefix)
		f, ok := files[name]
		switch {
		case ok:
			f.ServeHTTP(w, r)
		case built && strings.HasPrefix(name, assets):
			http.NotFound(w, r)
		default:
			index.ServeHTTP(w, r) // a page of the UI, which routes by itself
		}
	})
	if prefix != "/" {
		mux.Handle("GET /{$}", http.RedirectHandler(prefix, http.StatusFound))
	}
	policy := newPolicy(o)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		policy.write(w.Header(), r)
		mux.ServeHTTP(w, r)
	}), nil
}

// kconfig is the script with the settings. All values are strings, as in Kong's.
func kconfig(o Options, prefix string) ([]byte, error) {
	port := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	b, err := schema.EncodeJSON(schema.Object{
		"ADMIN_GUI_PATH": prefix, "ADMIN_API_URL": o.APIURL, "ADMIN_API_PORT": port(o.Port), "ADMIN_API_SSL_PORT": port(o.SecurePort),
		"ANONYMOUS_REPORTS": "false", "SLUICE_VERSION": o.Version,
	})
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "window.K_CONFIG = %s\n", b), nil
}

const notBuilt = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sluice</title></head>
<body><h1>Sluice</h1><p>This control plane was built without Sluice Manager. To have it here, install Node.js 20.19 or later, and
run <code>make manager</code> and <code>make build</code> in the source tree. The Admin API has everything that the manager shows.</p></body></html>
`
