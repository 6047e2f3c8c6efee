package admin

import (
	"net/http"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const pathWhoami = "/whoami"

// shownAreas are what permissions are told of, by the names that clients see.
var shownAreas = []struct {
	name string
	area access.Area
}{
	{"entities", access.Entities},
	{"configuration", access.Configuration},
	{"operations", access.Operations},
	{"workspaces", access.Workspaces},
	{"security", access.Security},
}

// whoami tells whose token a request has and what it may do in the workspace of the path,
// so that a client offers nothing that would be refused.
func (a *API) whoami(c *call) (answer, error) {
	body := schema.Object{"enforced": a.o.EnforceTokens, "name": nil, "role": nil, "workspace": nil, "expires_at": nil}
	token := c.visit.token
	if token != nil {
		known := showToken(token)
		for _, field := range []string{"name", "role", "workspace", "expires_at"} {
			body[field] = known[field]
		}
	}
	may := schema.Object{}
	for _, s := range shownAreas {
		actions := []any{}
		for _, action := range []access.Action{access.Read, access.Create, access.Update, access.Delete} {
			if !a.o.EnforceTokens || token.Allows(access.Use{Action: action, Area: s.area, Workspace: c.space}) {
				actions = append(actions, string(action))
			}
		}
		may[s.name] = actions
	}
	body["may"] = may
	return answer{status: http.StatusOK, body: body, header: [][2]string{{"Cache-Control", "no-store"}}}, nil
}

// whoamiSchema describes the answer.
func whoamiSchema() schema.Object {
	text := func() schema.Object { return schema.Object{"type": []any{"string", "null"}} }
	actions := schema.Object{"type": "array", "items": schema.Object{
		"enum": []any{string(access.Read), string(access.Create), string(access.Update), string(access.Delete)},
	}}
	properties, required := schema.Object{}, []any{}
	for _, s := range shownAreas {
		properties[s.name] = actions
		required = append(required, s.name)
	}
	return schema.Object{
		"type": "object", "required": []any{"enforced", "name", "role", "workspace", "expires_at", "may"},
		"properties": schema.Object{
			"enforced": schema.Object{"type": "boolean"}, "name": text(), "role": text(), "workspace": text(),
			"expires_at": schema.Object{"type": []any{"integer", "null"}},
			"may":        schema.Object{"type": "object", "required": required, "properties": properties},
		},
	}
}
