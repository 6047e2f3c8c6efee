package proxycache

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Commands that nodes answer.
const (
	commandGet    = "get"
	commandDelete = "delete"
	commandPurge  = "purge"
)

var endpoints = []pdk.Endpoint{
	{Method: http.MethodDelete, Path: "/proxy-cache", Handle: purgeAll},
	{Method: http.MethodGet, Path: "/proxy-cache/{key}", Handle: get},
	{Method: http.MethodDelete, Path: "/proxy-cache/{key}", Handle: remove},
	{Method: http.MethodGet, Path: "/proxy-cache/{plugin_id}/caches/{key}", Handle: ofPlugin(get)},
	{Method: http.MethodDelete, Path: "/proxy-cache/{plugin_id}/caches/{key}", Handle: ofPlugin(remove)},
}

type handler = func(ctx context.Context, fleet pdk.Fleet, params map[string]string, r *http.Request) (int, any, error)

// keyArguments are those of the commands get and delete.
type keyArguments struct {
	Key string `json:"key"`
}

// Answer is a stored answer as GET /proxy-cache/{key} shows it.
type Answer struct {
	Status int `json:"status"`
	// Headers by name: a string, or a list when there are several lines.
	Headers map[string]any `json:"headers"`
	Body    string         `json:"body"`
	BodyLen int            `json:"body_len"`
	// Timestamp is when it was stored, in seconds since 1970; TTL how long it is fresh.
	Timestamp int64 `json:"timestamp"`
	TTL       int64 `json:"ttl"`
	Version   int   `json:"version"`
}

func ofPlugin(handle handler) handler {
	return func(ctx context.Context, fleet pdk.Fleet, params map[string]string, r *http.Request) (int, any, error) {
		if _, ok := fleet.Plugin(params["plugin_id"], pluginName); !ok {
			return http.StatusNotFound, nil, nil
		}
		return handle(ctx, fleet, params, r)
	}
}

// get answers with what the first node that has the key holds.
func get(ctx context.Context, fleet pdk.Fleet, params map[string]string, _ *http.Request) (int, any, error) {
	for _, reply := range fleet.Broadcast(ctx, pluginName, commandGet, keyArguments{params["key"]}) {
		if reply.Err == nil && len(reply.Result) > 0 && string(reply.Result) != "null" {
			return http.StatusOK, reply.Result, nil
		}
	}
	return http.StatusNotFound, nil, nil
}

// remove drops a key on all nodes: 204 when one had it.
func remove(ctx context.Context, fleet pdk.Fleet, params map[string]string, _ *http.Request) (int, any, error) {
	replies := fleet.Broadcast(ctx, pluginName, commandDelete, keyArguments{params["key"]})
	if err := missed(replies); err != nil {
		return http.StatusGatewayTimeout, map[string]string{"message": err.Error()}, nil
	}
	for _, reply := range replies {
		if string(reply.Result) == "true" {
			return http.StatusNoContent, nil, nil
		}
	}
	return http.StatusNotFound, nil, nil
}

// purgeAll drops everything on all nodes.
func purgeAll(ctx context.Context, fleet pdk.Fleet, _ map[string]string, _ *http.Request) (int, any, error) {
	if err := missed(fleet.Broadcast(ctx, pluginName, commandPurge, nil)); err != nil {
		return http.StatusGatewayTimeout, map[string]string{"message": err.Error()}, nil
	}
	return http.StatusNoContent, nil, nil
}

// missed tells which node did not answer: it may hold what was to go.
func missed(replies []pdk.NodeReply) error {
	for _, reply := range replies {
		if reply.Err != nil {
			return fmt.Errorf("data plane %s (%s) did not purge its cache: %w", reply.NodeID, reply.Hostname, reply.Err)
		}
	}
	return nil
}

// command answers a control plane's command on a node.
func command(_ context.Context, node pdk.Node, name string, arguments json.RawMessage) (any, error) {
	var m *memory
	node.Each(func(key string, state any) {
		if key == memoryKey {
			m, _ = state.(*memory)
		}
	})
	if name == commandPurge {
		if m != nil {
			m.purge()
		}
		return true, nil
	}
	var a keyArguments
	if err := json.Unmarshal(arguments, &a); err != nil {
		return nil, fmt.Errorf("decode arguments of %s: %w", name, err)
	}
	k, ok := parseKey(a.Key)
	switch name {
	case commandDelete:
		return ok && m != nil && m.remove(&k), nil
	case commandGet:
		if !ok || m == nil {
			return nil, nil
		}
		if e := m.get(&k, time.Now()); e != nil {
			return e.show(), nil
		}
		return nil, nil
	}
	return nil, fmt.Errorf("proxy-cache knows no command %q", name)
}

func (e *entry) show() Answer {
	a := Answer{
		Status: e.status, Headers: map[string]any{}, Body: string(e.body), BodyLen: len(e.body),
		Timestamp: e.stored.Unix(), TTL: int64(e.ttl / time.Second), Version: 1,
	}
	for _, f := range e.header {
		switch old := a.Headers[f.Name].(type) {
		case nil:
			a.Headers[f.Name] = f.Value
		case string:
			a.Headers[f.Name] = []string{old, f.Value}
		case []string:
			a.Headers[f.Name] = append(old, f.Value)
		}
	}
	return a
}
