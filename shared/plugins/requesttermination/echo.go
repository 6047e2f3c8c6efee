package requesttermination

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// maxBody bounds a body that is echoed, in bytes.
const maxBody = 1 << 20

// echo answers with what is known about the request.
func (p *plugin) echo(x *pdk.Exchange) error {
	route, err := plain(x.Route != nil, x.Route)
	if err != nil {
		return err
	}
	service, err := plain(x.Service != nil, x.Service)
	if err != nil {
		return err
	}
	out := map[string]any{
		"request": request(x),
		"kong":    map[string]any{"node_id": p.nodeID, "hostname": p.hostname, "worker_pid": os.Getpid()},
	}
	if p.Message != "" {
		out["message"] = p.Message
	}
	if route != nil {
		out["matched_route"] = route
	}
	if service != nil {
		out["matched_service"] = service
	}
	return x.ExitJSON(p.StatusCode, out)
}

// plain makes an object of an entity, without what is not set.
func plain(there bool, entity any) (map[string]any, error) {
	if !there {
		return nil, nil
	}
	raw, err := json.Marshal(entity)
	if err != nil {
		return nil, fmt.Errorf("encode entity: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil {
		return nil, fmt.Errorf("decode entity: %w", err)
	}
	for k, v := range o {
		if v == nil || v == "" {
			delete(o, k)
		}
	}
	return o, nil
}

func request(x *pdk.Exchange) map[string]any {
	r := &x.Request
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	unnamed, named := []string{}, map[string]string{}
	for i, v := range x.Captures.Values {
		if i == 0 {
			continue
		}
		unnamed = append(unnamed, v)
		if i < len(x.Captures.Names) && x.Captures.Names[i] != "" {
			named[x.Captures.Names[i]] = v
		}
	}
	out := map[string]any{
		"scheme": r.Scheme, "host": host, "port": r.Local.Port(), "method": r.Method, "path": r.Path,
		"headers": headers(x), "query": query(r.RawQuery),
		"uri_captures": map[string]any{"unnamed": unnamed, "named": named},
	}
	// A body that is too large or broken is left out.
	if body, err := x.BufferBody(maxBody); err == nil {
		out["raw_body"] = string(body)
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") && json.Valid(body) {
			out["body"] = json.RawMessage(body)
		}
	}
	return out
}

func headers(x *pdk.Exchange) map[string]any {
	out := map[string]any{"host": x.Request.Host}
	for _, f := range x.Request.Header.Fields() {
		gather(out, strings.ToLower(f.Name), f.Value)
	}
	return out
}

func query(raw string) map[string]any {
	out := map[string]any{}
	unescape := func(s string) string { return string(pdk.AppendUnescaped(nil, s)) }
	for arg, rest, ok := pdk.NextArg(raw); ok; arg, rest, ok = pdk.NextArg(rest) {
		if arg.HasValue {
			gather(out, unescape(arg.Name), unescape(arg.Value))
		} else {
			gather(out, unescape(arg.Name), true)
		}
	}
	return out
}

// gather adds a value; of several it makes a list.
func gather(o map[string]any, name string, value any) {
	switch old := o[name].(type) {
	case nil:
		o[name] = value
	case []any:
		o[name] = append(old, value)
	default:
		o[name] = []any{old, value}
	}
}
