package admin

import (
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/render"
	"github.com/sluice-gateway/sluice/shared/version"
)

// role is what a path of a kind is.
type role uint8

// Roles of paths.
const (
	roleCollection role = iota + 1
	roleItem
	roleView
)

// doc tells of a path which kind it is about. other is its parent, and of a view the kind
// whose items refer to it.
type doc struct {
	def   *entity.Def
	role  role
	other *entity.Def
}

// addOpenAPI adds the description of all paths, which is made when it is asked for first:
// by then all of them are there.
func (a *API) addOpenAPI() {
	document := sync.OnceValue(a.openAPI)
	a.table.get("/openapi.json", func(*call) (answer, error) { return pageAnswer(document()) })
}

// openAPI describes the whole API as OpenAPI 3.1. Everything about entities and plugins
// follows from their schemas.
func (a *API) openAPI() schema.Object {
	paths := schema.Object{}
	for _, e := range a.table.endpoints {
		paths[e.pattern] = a.pathItem(e)
	}
	return schema.Object{
		"openapi": "3.1.0",
		"info": schema.Object{
			"title": "Sluice Admin API", "version": version.Sluice(),
			"summary":     "The configuration of a gateway, in the form of Kong's Admin API.",
			"description": "Compatible with the Admin API of Kong " + version.Kong + ". Entities are found by their id or by their key, such as a name.",
			"license":     schema.Object{"name": "Apache License 2.0", "identifier": "Apache-2.0"},
		},
		"servers": []any{
			schema.Object{"url": "/", "description": "The default workspace."},
			schema.Object{
				"url": "/{workspace}", "description": "Another workspace, by its name or id.",
				"variables": schema.Object{"workspace": schema.Object{"default": "default", "description": "Name or id of a workspace."}},
			},
		},
		"security":   []any{schema.Object{}, schema.Object{"token": []any{}}, schema.Object{"bearer": []any{}}},
		"tags":       a.tagList(),
		"paths":      paths,
		"components": a.components(),
	}
}

// tagList names the groups of paths: the kinds, and the rest.
func (a *API) tagList() []any {
	out := []any{schema.Object{"name": tagNode, "description": "What is no entity: this control plane, its data planes, schemas."}}
	seen := map[string]bool{}
	for _, e := range a.table.endpoints {
		if d, ok := a.docs[e.pattern]; ok && !seen[d.def.Kind()] {
			seen[d.def.Kind()] = true
			out = append(out, schema.Object{"name": d.def.Kind()})
		}
	}
	return out
}

const tagNode = "node"

// components are the schemas, parameters and answers that paths share.
func (a *API) components() schema.Object {
	schemas := schema.Object{"error": errorSchema()}
	seen := map[string]bool{}
	for _, d := range a.docs {
		if kind := d.def.Kind(); !seen[kind] {
			seen[kind] = true
			a.addKindSchemas(schemas, d.def)
		}
	}
	return schema.Object{
		"schemas":    schemas,
		"parameters": parameters(),
		"responses":  failures(),
		"headers": schema.Object{
			"ETag":     schema.Object{"description": "The tag of the content, for If-Match.", "schema": schema.Object{"type": "string"}},
			"Revision": schema.Object{"description": "The revision of the configuration that has the write.", "schema": schema.Object{"type": "integer"}},
		},
		"securitySchemes": schema.Object{
			"token":  schema.Object{"type": "apiKey", "in": "header", "name": a.o.TokenHeader, "description": "A token, where tokens are enforced."},
			"bearer": schema.Object{"type": "http", "scheme": "bearer", "description": "The same token as Authorization: Bearer."},
		},
	}
}

// Suffixes of the schemas of a kind: what is answered has none.
const (
	suffixNew    = ".new"
	suffixChange = ".change"
)

// addKindSchemas adds the three forms of a kind. A kind that is refined, such as plugins
// by their name, is one of as many forms as there are.
func (a *API) addKindSchemas(schemas schema.Object, def *entity.Def) {
	for suffix, form := range map[string]render.Form{"": render.Answer, suffixNew: render.Whole, suffixChange: render.Partial} {
		base := render.JSONSchema(def.Schema, form)
		nameReferences(base, def, a.o.Kinds, form)
		if def.Schema.TTL {
			ttl := schema.Object{"type": []any{"integer", "null"}, "minimum": 0, "maximum": 100_000_000, "description": "Seconds until the entity ends."}
			put(base, "ttl", ttl)
		}
		name := def.Kind() + suffix
		variants := a.variants(def)
		if len(variants) == 0 || form == render.Partial {
			schemas[name] = base
			continue
		}
		var one []any
		mapping := schema.Object{}
		for _, v := range variants {
			at := def.Kind() + "." + v.Name + suffix
			schemas[at] = refined(base, def, v, form)
			one = append(one, schema.Object{"$ref": "#/components/schemas/" + at})
			mapping[v.Name] = "#/components/schemas/" + at
		}
		schemas[name] = schema.Object{
			"oneOf": one, "discriminator": schema.Object{"propertyName": def.Schema.SubschemaKey, "mapping": mapping},
		}
	}
}

// variants are the schemas that refine a kind.
func (a *API) variants(def *entity.Def) []*schema.Schema {
	if def.Schema.Subschema == nil {
		return nil
	}
	names := a.o.Plugins.Names()
	if f := def.Schema.Field("prefix"); f != nil {
		names = nil // vaults: their prefix may not be the name of one
		for _, name := range f.NotOneOf {
			text, _ := name.(string)
			names = append(names, text)
		}
	}
	var out []*schema.Schema
	for _, name := range names {
		if s, ok := def.Schema.Subschema(name); ok {
			out = append(out, s)
		}
	}
	return out
}

// refined is the form of a kind with what one schema says of its fields.
func refined(base schema.Object, def *entity.Def, by *schema.Schema, form render.Form) schema.Object {
	out := schema.Clone(base)
	for i := range by.Fields {
		put(out, by.Fields[i].Name, render.Property(&by.Fields[i], form))
	}
	put(out, def.Schema.SubschemaKey, schema.Object{"const": by.Name})
	return out
}

func put(object schema.Object, name string, property schema.Object) {
	if properties, ok := object["properties"].(schema.Object); ok {
		properties[name] = property
	}
}

// nameReferences tells by which other values references can be given.
func nameReferences(object schema.Object, def *entity.Def, kinds *entity.Kinds, form render.Form) {
	if form == render.Answer {
		return
	}
	properties, _ := object["properties"].(schema.Object)
	for i := range def.Schema.Fields {
		f := &def.Schema.Fields[i]
		target := kinds.ByKind(f.Reference)
		property, _ := properties[f.Name].(schema.Object)
		by, _ := property["properties"].(schema.Object)
		if f.Type != schema.Foreign || target == nil || by == nil {
			continue
		}
		for j := range target.Schema.Fields {
			if u := &target.Schema.Fields[j]; u.Unique && u.Type == schema.String {
				by[u.Name] = schema.Object{"type": "string"}
			}
		}
	}
}

func errorSchema() schema.Object {
	messages := schema.Object{"type": "object", "description": "Messages by field; @entity lists those across fields.", "additionalProperties": true}
	return schema.Object{
		"type": "object", "required": []any{"message"},
		"properties": schema.Object{
			"message": schema.Object{"type": "string"},
			"name":    schema.Object{"type": "string", "description": "The sort of the error, such as schema violation."},
			"code":    schema.Object{"type": "integer", "description": "Kong's number of the sort."},
			"fields":  messages,
			"options": messages,
		},
		"additionalProperties": true,
	}
}

func parameters() schema.Object {
	query := func(name, description string, s schema.Object) schema.Object {
		return schema.Object{"name": name, "in": "query", "description": description, "schema": s}
	}
	header := func(name, description string) schema.Object {
		return schema.Object{"name": name, "in": "header", "description": description, "schema": schema.Object{"type": "string"}}
	}
	return schema.Object{
		"size":          query("size", "How many entities a page has.", schema.Object{"type": "integer", "minimum": 1, "maximum": maxPageSize, "default": pageSize}),
		"offset":        query("offset", "The offset of the page before, which leads to the next one.", schema.Object{"type": "string", "minLength": 1}),
		"tags":          query("tags", "Tags of the entities: a,b for those with both, a/b for those with any; "+strconv.Itoa(mostTags)+" at most.", schema.Object{"type": "string", "minLength": 1}),
		"name_contains": query(nameContains, "A part of the name, in any case of letters.", schema.Object{"type": "string"}),
		"If-Match":      header(headerMatch, "Write only what still has one of these ETags."),
		"If-None-Match": header(headerNoneMatch, "Answer 304 when the content has one of these ETags; on writes, * writes only what is not there."),
		"Wait":          header(headerWait, "Answer when all connected data planes, or as many as that, serve the write."),
	}
}

// failures are the answers to what is refused.
func failures() schema.Object {
	out := schema.Object{}
	for name, description := range map[string]string{
		"BadRequest": "What was given is refused; fields tell why.", "NotFound": "There is no such entity or path.",
		"Conflict": "Another entity has a value that must be unique.", "PreconditionFailed": "The entity is another one than If-Match says.",
		"TooLarge": "The body is too large.",
	} {
		out[name] = schema.Object{
			"description": description,
			"content":     schema.Object{mediaJSON: schema.Object{"schema": schema.Object{"$ref": "#/components/schemas/error"}}},
		}
	}
	// Some refusals are pages of the server below the API.
	for name, description := range map[string]string{"UnsupportedMediaType": "The body is in no known form.", "Error": "The request was refused or failed."} {
		out[name] = schema.Object{
			"description": description, "content": schema.Object{
				"text/html": schema.Object{"schema": schema.Object{"type": "string"}},
				mediaJSON:   schema.Object{"schema": schema.Object{"$ref": "#/components/schemas/error"}},
			},
		}
	}
	out["NotModified"] = schema.Object{"description": "The content is what the reader has."}
	return out
}

// operationID makes a name of a method and a path that no other has.
func operationID(method, pattern string) string {
	words := []string{strings.ToLower(method)}
	for _, part := range split(pattern) {
		name := strings.NewReplacer("{", "by-", "}", "", ".", "-").Replace(part)
		words = append(words, name)
	}
	if len(words) == 1 {
		words = append(words, "root")
	}
	return strings.Join(words, "-")
}

// bodyless are methods whose requests have no body.
var bodyless = map[string]bool{http.MethodGet: true, http.MethodDelete: true}
