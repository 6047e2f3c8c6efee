package proxy

import (
	"strings"

	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// route finds the route and prepares what goes upstream. It returns false, with the
// exchange ended, when there is no route; a route that the connection's protocol does
// not allow ends the exchange too, but counts as found.
func (p *Proxy) route(w *walk, x *pdk.Exchange) bool {
	w.query.Load(x)
	_, w.query.HostPort = expression.SplitHost(x.Request.Host)
	route, ok := w.plan.Match(&w.query, &w.match)
	if !ok {
		_ = x.Fail(404, "no Route matched with those values")
		x.Source = pdk.SourceError
		return false
	}
	w.route, x.Route = route, route.Entity
	if route.Workspace != "" {
		x.Workspace = route.Workspace
		x.View, x.WorkspaceName = w.plan.View(route.Workspace)
	}
	x.Captures.Names = append(x.Captures.Names, w.match.Names...)
	x.Captures.Values = append(x.Captures.Values, w.match.Values...)
	if w.protocol(x) {
		return true
	}
	if route.Service != nil {
		x.Service = route.Service.Entity
		w.request(x)
	}
	return true
}

// protocol ends the exchange when the route does not allow the client's protocol.
func (w *walk) protocol(x *pdk.Exchange) (ended bool) {
	r, q := w.route, &x.Request
	secure := q.ForwardedProto == "https"
	fail := func(status int, message string) bool {
		_ = x.Fail(status, message)
		x.Source = pdk.SourceError
		return true
	}
	if r.GRPC || r.GRPCS {
		if !strings.HasPrefix(q.Header.Get("Content-Type"), "application/grpc") {
			return fail(415, "Non-gRPC request matched gRPC route")
		}
		if q.Proto < 20 {
			x.Response.Header.Set("Connection", "Upgrade")
			x.Response.Header.Set("Upgrade", "HTTP/2")
			return fail(426, "Please use HTTP2 protocol")
		}
		if !r.GRPC && !secure {
			x.Response.Header.Set("grpc-status", "1")
			x.Response.Header.Set("grpc-message", "gRPC request matched gRPCs route")
			_ = x.ExitBody(200, "application/grpc", nil)
			x.Source = pdk.SourceError
			return true
		}
		return false
	}
	if r.HTTPS && !r.HTTP && !secure {
		status := r.Entity.HTTPSRedirectStatusCode
		if status == 0 || status == 426 {
			x.Response.Header.Set("Connection", "Upgrade")
			x.Response.Header.Set("Upgrade", "TLS/1.2, HTTP/1.1")
			return fail(426, "Please use HTTPS protocol")
		}
		uri := q.RawPath
		if q.HasQuery {
			uri = x.Text.Concat(uri, "?", q.RawQuery)
		}
		x.Response.Header.Set("Location", x.Text.Concat("https://", q.ForwardedHost, uri))
		w.redirect(x, status)
		return true
	}
	return false
}

// redirect answers with a page for people whose client does not follow.
func (w *walk) redirect(x *pdk.Exchange, status int) {
	title := x.Text.Concat(x.Text.Int(int64(status)), " ", redirectText(status))
	contentType := "text/html"
	if status == 307 || status == 308 {
		contentType = "text/html; charset=UTF-8"
	}
	page := x.Text.Concat("<html>\r\n<head><title>", title, "</title></head>\r\n<body>\r\n<center><h1>", title,
		"</h1></center>\r\n</body>\r\n</html>\r\n")
	_ = x.ExitBody(status, contentType, []byte(page))
	x.Source = pdk.SourceError
}

func redirectText(status int) string {
	switch status {
	case 301:
		return "Moved Permanently"
	case 302:
		return "Found"
	case 307:
		return "Temporary Redirect"
	}
	return "Permanent Redirect"
}
