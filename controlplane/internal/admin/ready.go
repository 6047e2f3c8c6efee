package admin

import "net/http"

// Status returns the handler of the status listener: /status, /metrics and
// /status/ready, which turns 503 with the reason when the store cannot be read. Nothing can be changed there.
func (a *API) Status() http.Handler {
	t := &table{open: true}
	t.get("/status", a.status)
	t.get("/metrics", a.metrics)
	t.get("/status/ready", func(*call) (answer, error) {
		if err := a.healthy(); err != nil {
			a.log.Warn("not ready", "error", err)
			return message(http.StatusServiceUnavailable, "the store cannot be read"), nil
		}
		return message(http.StatusOK, "ready"), nil
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, t) })
}
