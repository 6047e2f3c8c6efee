package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

func ref(path string) schema.Object { return schema.Object{"$ref": "#/components/" + path} }

func refs(kind string, names ...string) []any {
	out := make([]any, len(names))
	for i, name := range names {
		out[i] = ref(kind + "/" + name)
	}
	return out
}

// pathItem describes the methods of a path. HEAD and OPTIONS, which all paths have, go
// without saying.
func (a *API) pathItem(e *endpoint) schema.Object {
	out := schema.Object{}
	var list []any
	for _, name := range names(e.pattern) {
		list = append(list, schema.Object{
			"name": name, "in": "path", "required": true, "schema": schema.Object{"type": "string", "minLength": 1}, "description": a.partText(name),
		})
	}
	if list != nil {
		out["parameters"] = list
	}
	d, known := a.docs[e.pattern]
	for method := range e.methods {
		o := schema.Object{"operationId": operationID(method, e.pattern)}
		if known {
			a.describeKind(o, method, d)
		} else {
			a.describeOther(o, method, e.pattern)
		}
		out[strings.ToLower(method)] = o
	}
	return out
}

// partText says what a part of a path names.
func (a *API) partText(name string) string {
	def := a.o.Kinds.ByKind(name)
	switch {
	case def == nil:
		return "The " + strings.ReplaceAll(name, "_", " ") + " that is meant."
	case def.Schema.EndpointKey == "":
		return "The id of one of the " + name + "."
	}
	return "The id or the " + def.Schema.EndpointKey + " of one of the " + name + "."
}

// describeKind completes the operation of a path of a kind.
func (a *API) describeKind(o schema.Object, method string, d doc) {
	kind := d.def.Kind()
	o["tags"] = []any{kind}
	responses := schema.Object{"400": ref("responses/BadRequest"), "default": ref("responses/Error")}
	o["responses"] = responses
	answers := schema.Object{"schema": ref("schemas/" + kind)}
	headers := schema.Object{"ETag": ref("headers/ETag")}
	if d.role != roleCollection || d.other != nil {
		responses["404"] = ref("responses/NotFound")
	}
	if !bodyless[method] {
		form := suffixNew
		if method == http.MethodPatch {
			form = suffixChange
		}
		o["requestBody"] = bodyOf(ref("schemas/" + kind + form))
		responses["409"], responses["413"] = ref("responses/Conflict"), ref("responses/TooLarge")
		responses["415"] = ref("responses/UnsupportedMediaType")
		headers["X-Sluice-Revision"] = ref("headers/Revision")
	}
	switch {
	case d.role == roleCollection && method == http.MethodGet:
		o["summary"] = "List " + kind
		list := []string{"size", "offset"}
		if d.other == nil {
			list = append(list, "tags")
		}
		if d.def.Schema.EndpointKey != "" || d.def.Schema.Field("name") != nil {
			list = append(list, "name_contains")
		}
		o["parameters"] = refs("parameters", append(list, "If-None-Match")...)
		answers["schema"] = listOf(ref("schemas/" + kind))
		responses["200"] = success("One page of "+kind+".", answers, headers)
		responses["304"] = ref("responses/NotModified")
	case method == http.MethodPost:
		o["summary"] = "Make one of the " + kind
		o["parameters"] = refs("parameters", "Wait")
		responses["201"] = success("What was made.", answers, headers)
	case method == http.MethodGet:
		o["summary"] = "Read one of the " + kind
		o["parameters"] = refs("parameters", "If-None-Match")
		if kind == kindConsumerGroups && d.role == roleItem {
			o["summary"] = "Read a consumer group and who is in it"
			o["parameters"] = []any{truth("list_consumers", "Whether consumers are listed; true unless said otherwise."), ref("parameters/If-None-Match")}
			answers["schema"] = groupSchema()
		}
		responses["200"] = success("The entity.", answers, headers)
		responses["304"] = ref("responses/NotModified")
	case method == http.MethodDelete:
		o["summary"] = "Delete one of the " + kind
		if d.role == roleView {
			o["summary"] = "Refuse to delete one of the " + kind
			responses["405"] = ref("responses/Error")
			return
		}
		o["parameters"] = refs("parameters", "If-Match", "Wait")
		if kind == kindWorkspaces {
			o["parameters"] = []any{truth("cascade", "Delete the entities of the workspace too; refused otherwise when there are any."), ref("parameters/Wait")}
		}
		responses["204"] = schema.Object{"description": "It is not there (any more).", "headers": schema.Object{"X-Sluice-Revision": ref("headers/Revision")}}
		responses["412"] = ref("responses/PreconditionFailed")
	default:
		o["summary"] = "Change one of the " + kind
		if method == http.MethodPut {
			o["summary"] = "Replace or make one of the " + kind
		}
		o["parameters"] = refs("parameters", "If-Match", "If-None-Match", "Wait")
		responses["200"] = success("What it is now.", answers, headers)
		responses["412"] = ref("responses/PreconditionFailed")
	}
}

func success(description string, content, headers schema.Object) schema.Object {
	return schema.Object{"description": description, "headers": headers, "content": schema.Object{mediaJSON: content}}
}

// bodyOf describes a body: an object as JSON, or the same as a form.
func bodyOf(object schema.Object) schema.Object {
	form := schema.Object{"schema": schema.Object{
		"type": "object", "additionalProperties": true,
		"description": "The same as a form: config.minute=5, paths[]=/a, headers.x-a=1; an empty value is null.",
	}}
	return schema.Object{"content": schema.Object{mediaJSON: schema.Object{"schema": object}, mediaForm: form, mediaMultipart: form}}
}

func listOf(items schema.Object) schema.Object {
	return schema.Object{
		"type": "object", "required": []any{"data", "next"},
		"properties": schema.Object{
			"data":   schema.Object{"type": "array", "items": items},
			"next":   schema.Object{"type": []any{"string", "null"}, "description": "The path of the next page."},
			"offset": schema.Object{"type": "string", "description": "What leads to the next page; absent on the last one."},
		},
		"additionalProperties": true,
	}
}

// other tells of the paths that are no kind's own what they are for: by pattern, then by
// method, as far as one word is not enough.
var other = map[string]string{
	"GET /": "Read what this control plane is", "GET /status": "Read how this control plane is", "GET /endpoints": "List all paths",
	"GET /whoami": "Read whose token this is, and what it may do", "GET /openapi.json": "Read this description", "GET /timers": "Read what runs", "GET /plugins/enabled": "List the names of plugins",
	"GET /status/dns": "Read how names are resolved", "DELETE /cache": "Forget what is cached", "GET /cache/{key}": "Read what is cached",
	"DELETE /cache/{key}": "Forget something that is cached", "GET /config": "Export the whole configuration",
	"POST /config": "Replace the whole configuration", "GET /schemas/{name}": "Read the schema of a kind",
	"GET /schemas/plugins/{name}": "Read the schema of a plugin", "GET /schemas/vaults/{name}": "Read the schema of a vault",
	"GET /schemas/filters/{name}": "Read the schema of a filter", "GET /plugins/schema/{name}": "Read the config of a plugin's schema",
	"POST /schemas/{db_entity_name}/validate": "Check an entity without storing it", "POST /schemas/plugins/validate": "Check a plugin without storing it",
	"POST /schemas/vaults/validate": "Check a vault without storing it", "GET /tags": "List what is tagged", "GET /tags/{tags}": "List what has a tag",
	"GET /clustering/data-planes": "List data planes", "GET /clustering/status": "List data planes by id",
	"GET /clustering/revisions": "List revisions and how many data planes have applied them", "GET /clustering/revisions/{revision}": "Read which data planes have applied a revision, and when",
	"GET /history": "List what was changed, by whom and when", "GET /history/{revision}": "Read what a revision changed, field by field",
	"GET /history/{revision}/preview": "Read what restoring a revision would change", "POST /history/{revision}/restore": "Bring entities back to what they were at a revision",
	"GET /clustering/traffic": "Read what data planes have counted in the last hour",
	"GET /routes/explain":     "Explain what would become of a request", "POST /routes/explain": "Explain what would become of a request",
	"GET /upstreams/{upstreams}/health": "Read how data planes see the targets of an upstream",
	"GET /debug/node/log-level":         "Read what is logged", "PUT /debug/node/log-level/{log_level}": "Change what is logged for a while",
}

// describeOther completes the operation of a path that is no kind's own.
func (a *API) describeOther(o schema.Object, method, pattern string) {
	if s, ok := a.sides[pattern]; ok {
		s.describe(o, method, strings.HasSuffix(pattern, "}"))
		return
	}
	o["tags"] = []any{tagNode}
	o["summary"] = other[method+" "+pattern]
	if o["summary"] == "" {
		verbs := map[string]string{http.MethodGet: "Read", http.MethodPost: "Run", http.MethodPut: "Set", http.MethodPatch: "Change", http.MethodDelete: "Delete"}
		o["summary"] = verbs[method] + " " + strings.Trim(pattern, "/")
	}
	anything := schema.Object{"description": "Done.", "content": schema.Object{mediaJSON: schema.Object{"schema": schema.Object{}}}}
	o["responses"] = schema.Object{"2XX": anything, "default": ref("responses/Error")}
	if pattern == "/metrics" {
		anything["content"] = schema.Object{"text/plain": schema.Object{"schema": schema.Object{"type": "string"}}}
	}
	if !bodyless[method] {
		o["requestBody"] = bodyOf(schema.Object{})
	}
	if pattern == "/routes/"+CommandExplain && method == http.MethodGet {
		o["parameters"] = explainParameters()
	}
	if pattern == pathWhoami {
		anything["content"] = schema.Object{mediaJSON: schema.Object{"schema": whoamiSchema()}}
	}
	if pattern == pathTraffic {
		o["parameters"] = queryParameters(trafficParameters)
	}
	if pattern == "/config" && method == http.MethodPost {
		content, _ := o["requestBody"].(schema.Object)["content"].(schema.Object)
		for _, yaml := range yamlTypes {
			content[yaml] = schema.Object{"schema": schema.Object{"type": "string"}}
		}
		o["parameters"] = []any{
			flag("check_hash", "Answer 304 when the document is what is configured."),
			flag("flatten_errors", "List what is wrong entity by entity."),
			flag("dry_run", "Change nothing, and answer 200 with what would change, field by field."),
		}
	}
	if slices.Contains([]string{"/tags", "/tags/{tags}", "/clustering/data-planes", "/clustering/revisions", pathHistory, "/upstreams/{upstreams}/health"}, pattern) && method == http.MethodGet {
		o["parameters"] = refs("parameters", "size", "offset")
		responses, _ := o["responses"].(schema.Object)
		responses["200"] = schema.Object{"description": "One page.", "content": schema.Object{mediaJSON: schema.Object{"schema": listOf(schema.Object{"type": "object"})}}}
		delete(responses, "2XX")
	}
}

func flag(name, description string) schema.Object {
	return schema.Object{"name": name, "in": "query", "description": description, "schema": schema.Object{"enum": []any{"0", "1"}}}
}

// truth is a query that is true or false.
func truth(name, description string) schema.Object {
	return schema.Object{"name": name, "in": "query", "description": description, "schema": schema.Object{"enum": []any{"true", "false"}}}
}

// groupSchema is what a consumer group is answered as.
func groupSchema() schema.Object {
	return schema.Object{
		"type": "object", "required": []any{"consumer_group"},
		"properties": schema.Object{
			"consumer_group": ref("schemas/" + kindConsumerGroups),
			kindConsumers:    schema.Object{"type": "array", "items": ref("schemas/" + kindConsumers)},
		},
		"additionalProperties": false,
	}
}

// describe completes the operation of a path of memberships.
func (s side) describe(o schema.Object, method string, item bool) {
	above, below := s.above.Kind(), s.below.Kind()
	o["tags"] = []any{above}
	responses := schema.Object{"400": ref("responses/BadRequest"), "404": ref("responses/NotFound"), "default": ref("responses/Error")}
	o["responses"] = responses
	one := schema.Object{"schema": ref("schemas/" + below)}
	revision := schema.Object{"X-Sluice-Revision": ref("headers/Revision")}
	switch {
	case method == http.MethodGet && item:
		o["summary"] = "Read one of the " + below + ", when it is a member"
		responses["200"] = success("The entity at the other end.", one, schema.Object{})
	case method == http.MethodGet:
		o["summary"] = "List the " + below + " of one of the " + above
		o["parameters"] = refs("parameters", "size", "offset")
		responses["200"] = success("One page of "+below+".", schema.Object{"schema": listOf(ref("schemas/" + below))}, schema.Object{})
	case method == http.MethodPost:
		argument := s.argument.Fields[0].Name
		o["summary"] = "Add one of the " + below
		o["parameters"] = refs("parameters", "Wait")
		o["requestBody"] = bodyOf(schema.Object{
			"type": "object", "required": []any{argument}, "additionalProperties": false,
			"properties": schema.Object{argument: schema.Object{"type": "string", "description": "The id or name of what is added."}},
		})
		responses["201"] = success("Both ends of the membership.", schema.Object{"schema": schema.Object{
			"type": "object", "required": []any{s.one, s.many}, "additionalProperties": false,
			"properties": schema.Object{s.one: ref("schemas/" + above), s.many: schema.Object{"type": "array", "items": ref("schemas/" + below)}},
		}}, revision)
		responses["409"], responses["413"], responses["415"] = ref("responses/Conflict"), ref("responses/TooLarge"), ref("responses/UnsupportedMediaType")
	default:
		o["summary"] = "Remove one of the " + below
		if !item {
			o["summary"] = "Remove all of the " + below
		}
		o["parameters"] = refs("parameters", "Wait")
		responses["204"] = schema.Object{"description": "It is no member (any more).", "headers": revision}
	}
}
