package manager

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Built is the UI that was built into this program; it may have no index.html.
func Built() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is valid
	}
	return sub
}
