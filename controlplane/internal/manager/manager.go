// Package manager serves admin_gui_listen: the settings that a browser application needs
// to find the Admin API, in the form that Kong's manager reads, and the application
// itself where one was built in. It refuses to serve anything of the Admin API.
package manager

import (
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Options of a Handler.
type Options struct {
	// Path prefix of the manager, such as "/".
	Path string
	// APIURL is the Admin API as browsers see it; "" means the page's host with Port, or
	// SecurePort for https.
	APIURL           string
	Port, SecurePort int
	// Files of the application with an index.html; nil when none was built.
	Files fs.FS
}

// New makes the handler.
func New(o Options) http.Handler {
	prefix := "/" + strings.Trim(o.Path, "/")
	if prefix != "/" {
		prefix += "/"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+prefix+"kconfig.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/javascript; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = fmt.Fprintf(w, "window.K_CONFIG = %s\n", config(o, prefix))
	})
	if o.Files != nil {
		mux.Handle("GET "+prefix, http.StripPrefix(strings.TrimSuffix(prefix, "/"), http.FileServerFS(o.Files)))
		return mux
	}
	mux.HandleFunc("GET "+prefix, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(notBuilt))
	})
	return mux
}

func config(o Options, prefix string) []byte {
	port := func(n int) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	b, err := schema.EncodeJSON(schema.Object{
		"ADMIN_GUI_PATH": prefix, "ADMIN_API_URL": o.APIURL, "ADMIN_API_PORT": port(o.Port), "ADMIN_API_SSL_PORT": port(o.SecurePort),
		"ANONYMOUS_REPORTS": "false",
	})
	if err != nil {
		panic(err) // strings always encode
	}
	return b
}

const notBuilt = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sluice</title></head>
<body><h1>Sluice</h1><p>This program was built without the manager. The Admin API has everything that it would show.</p></body></html>
`
