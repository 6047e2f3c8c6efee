package controlplane

import (
	"encoding/json"
	"net/http"
)

// Paths of the local socket beside those of the Admin API.
const (
	localBackup = "/local/backup"
	localVerify = "/local/verify"
)

// local is the handler of the socket in the prefix.
func (c *ControlPlane) local() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", c.admin.Local())
	mux.HandleFunc("GET "+localBackup, c.serveBackup)
	mux.HandleFunc("GET "+localVerify, c.serveVerify)
	return mux
}

// serveBackup writes a copy of the store while everything goes on. A copy that is cut off
// ends without the last chunk, by which a client knows.
func (c *ControlPlane) serveBackup(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	if n, err := c.store.Backup(w); err != nil {
		c.log.Error("backup failed", "bytes", n, "error", err)
		if n == 0 {
			http.Error(w, "the store can not be read", http.StatusInternalServerError)
			return
		}
		panic(http.ErrAbortHandler)
	}
	c.log.Info("backup was taken")
}

// serveVerify reads all of the store in one transaction, and tells what is wrong.
func (c *ControlPlane) serveVerify(w http.ResponseWriter, r *http.Request) {
	report, err := c.store.Verify(r.Context(), examiner(c.kinds))
	if err != nil {
		c.log.Error("verify failed", "error", err)
		http.Error(w, "the store can not be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(verdictOf(report, true))
}
