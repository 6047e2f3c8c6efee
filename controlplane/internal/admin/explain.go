package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// TargetRouter is the target of commands about routing, and CommandExplain asks what
// would become of a request. Its arguments are ExplainArguments; its result is shown as
// it is.
const (
	TargetRouter   = "router"
	CommandExplain = "explain"
)

// ExplainArguments are a request that nobody sends.
type ExplainArguments struct {
	Method   string      `json:"method"`
	Scheme   string      `json:"scheme"`
	Host     string      `json:"host"`
	Path     string      `json:"path"`
	Headers  [][2]string `json:"headers,omitempty"`
	SNI      string      `json:"sni,omitempty"`
	Source   string      `json:"source,omitempty"`
	Port     int         `json:"port,omitempty"`
	HTTP     string      `json:"http,omitempty"`
	Consumer string      `json:"consumer,omitempty"`
}

// addExplain adds GET and POST /routes/explain. A route of that name still answers to its
// other methods, and to GET without a path.
func (a *API) addExplain() {
	def := a.o.Kinds.ByKind(kindRoutes)
	if def == nil {
		return
	}
	named := kind{def: def}.item()
	methods := map[string]handler{http.MethodPost: a.explain}
	for method, h := range named {
		methods[method] = func(c *call) (answer, error) {
			if method == http.MethodGet && c.r.URL.Query().Has("path") {
				return a.explain(c)
			}
			c.values = append(c.values, CommandExplain)
			return h(c)
		}
	}
	a.table.add("/routes/"+CommandExplain, methods)
}

// explain asks the connected data planes, and answers with what the one says that serves
// the newest configuration.
func (a *API) explain(c *call) (answer, error) {
	arguments, err := c.question()
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(c.ctx, commandTime)
	defer cancel()
	replies := a.o.Fleet.Broadcast(ctx, TargetRouter, CommandExplain, arguments)
	if len(replies) == 0 {
		return answer{}, refuse(http.StatusServiceUnavailable, "no data plane is connected that could explain the request")
	}
	return newest(replies)
}

// newest returns the explanation of the highest revision.
func newest(replies []pdk.NodeReply) (answer, error) {
	var best map[string]any
	var failed error
	for _, reply := range replies {
		if reply.Err != nil {
			failed = reply.Err
			continue
		}
		var body map[string]any
		if err := json.Unmarshal(reply.Result, &body); err != nil {
			failed = fmt.Errorf("explanation of node %s: %w", reply.NodeID, err)
			continue
		}
		if best == nil || revision(body) > revision(best) {
			best = body
			best["node"] = schema.Object{"id": reply.NodeID, "hostname": reply.Hostname}
		}
	}
	switch {
	case best != nil:
		return ok(best)
	case errors.Is(failed, context.DeadlineExceeded):
		return answer{}, refuse(http.StatusGatewayTimeout, "no data plane has explained the request in time")
	}
	return answer{}, refuse(http.StatusBadRequest, failed.Error())
}

func revision(body map[string]any) float64 {
	n, _ := body["revision"].(float64)
	return n
}

// question reads the request to explain: the query of a GET, or the body of a POST.
func (c *call) question() (*ExplainArguments, error) {
	q := &ExplainArguments{Scheme: "http"}
	if c.r.Method == http.MethodPost {
		body, err := c.read(c.api.o.MaxBody)
		if err != nil {
			return nil, unread(err)
		}
		in := struct {
			*ExplainArguments
			Headers map[string]any `json:"headers"`
		}{ExplainArguments: q}
		if err := json.Unmarshal(body, &in); err != nil {
			if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && t.Field != "" {
				return nil, refuse(http.StatusBadRequest, t.Field+": a "+t.Value+" is not what it takes")
			}
			return nil, refuse(http.StatusBadRequest, cannotRead)
		}
		if q.Headers, err = headerPairs(in.Headers); err != nil {
			return nil, err
		}
	} else if err := q.fromQuery(c.r.URL.Query()); err != nil {
		return nil, err
	}
	switch {
	case q.Path == "":
		return nil, refuse(http.StatusBadRequest, "path: required field missing")
	case q.Path[0] != '/' && q.Path != "*":
		return nil, refuse(http.StatusBadRequest, "path: should start with: /")
	case q.Scheme != "http" && q.Scheme != "https":
		return nil, refuse(http.StatusBadRequest, "scheme: expected one of: http, https")
	}
	return q, nil
}

func (q *ExplainArguments) fromQuery(query url.Values) error {
	for name, values := range query {
		value := values[0]
		switch name {
		case "method":
			q.Method = value
		case "scheme":
			q.Scheme = value
		case "host":
			q.Host = value
		case "path":
			q.Path = value
		case "sni":
			q.SNI = value
		case "source":
			q.Source = value
		case "http":
			q.HTTP = value
		case "consumer":
			q.Consumer = value
		case "port":
			n, err := strconv.Atoi(value)
			if err != nil {
				return refuse(http.StatusBadRequest, "port: expected an integer")
			}
			q.Port = n
		case "header":
			for _, line := range values {
				field, content, ok := strings.Cut(line, ":")
				if !ok || field == "" {
					return refuse(http.StatusBadRequest, "header: expected name:value")
				}
				q.Headers = append(q.Headers, [2]string{strings.TrimSpace(field), strings.TrimSpace(content)})
			}
		default:
			return refuse(http.StatusBadRequest, name+": unknown field")
		}
	}
	return nil
}

// explainParameters describes the query of GET /routes/explain.
func explainParameters() []any {
	return queryParameters([][2]string{
		{"path", "The path, with a query behind a question mark."},
		{"method", "The method; GET when there is none."},
		{"scheme", "http, which is the default, or https."},
		{"host", "The Host header, with port."},
		{"header", "A header as name:value; it may be given several times."},
		{"sni", "The server name of a TLS client."},
		{"source", "The address of the client."},
		{"port", "The port of the listener."},
		{"http", "1.0, 1.1 or 2."},
		{"consumer", "The id or username of the consumer that would be authenticated."},
	})
}

// queryParameters describes the parameters of a query by their names and what they are for.
func queryParameters(list [][2]string) []any {
	out := make([]any, 0, len(list))
	for _, p := range list {
		out = append(out, schema.Object{"name": p[0], "in": "query", "description": p[1], "schema": schema.Object{"type": "string"}})
	}
	return out
}

// headerPairs reads headers, whose values are texts or lists of them.
func headerPairs(in map[string]any) ([][2]string, error) {
	var out [][2]string
	for name, v := range in {
		list, isList := v.([]any)
		if !isList {
			list = []any{v}
		}
		for _, e := range list {
			s, ok := e.(string)
			if !ok {
				return nil, refuse(http.StatusBadRequest, "headers."+name+": expected a string or an array of strings")
			}
			out = append(out, [2]string{name, s})
		}
	}
	return out, nil
}
