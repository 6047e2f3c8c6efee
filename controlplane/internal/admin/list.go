package admin

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const (
	pageSize    = 100
	maxPageSize = 1000
)

// lookups are unique fields by which a list can be asked for one entity.
var lookups = map[string]string{kindConsumers: "custom_id"}

func (k kind) list(c *call) (answer, error) {
	scope, err := k.scope(c)
	if err != nil {
		return answer{}, err
	}
	query := c.r.URL.Query()
	if field := lookups[k.def.Kind()]; field != "" && k.parent == nil && query.Has(field) {
		if query.Get(field) == "" {
			return answer{}, refuse(http.StatusBadRequest, field+" must be an unempty string")
		}
		return findOne(c, k.def, field, query.Get(field))
	}
	o := catalog.ListOptions{Scope: scope, NameContains: query.Get(nameContains), JSON: true}
	if o.Size, o.Offset, err = paging(query); err != nil {
		return answer{}, err
	}
	if strangeOffset(o.Offset) {
		return answer{}, refuse(http.StatusInternalServerError, unexpected)
	}
	if o.Tags, o.AnyTag, err = tags(query); err != nil {
		return answer{}, err
	}
	if k.parent != nil {
		o.Tags = nil // Kong reads tags below a parent, and lists everything
		o.Newest = k.def.Kind() == kindTargets && !k.all
	}
	p, err := c.catalog().List(c.ctx, k.def, o)
	if err != nil {
		return answer{}, err
	}
	return pageAnswer(pageBody(c, p, query, k.parent == nil))
}

// nameContains is the query by which lists are asked for entities with a part of a name.
// Kong and its clients have nothing of that name.
const nameContains = "name_contains"

// findOne answers a list of the one entity with a value, or of none.
func findOne(c *call, def *entity.Def, field, value string) (answer, error) {
	o, err := c.catalog().Find(c.ctx, def, field, value)
	list := []any{}
	switch {
	case err == nil:
		list = append(list, o)
	case !isNotFound(err):
		return answer{}, err
	}
	return ok(schema.Object{"data": list, "next": nil})
}

// paging reads size and offset.
func paging(query url.Values) (size int, offset string, err error) {
	size = pageSize
	if query.Has("size") {
		n, err := strconv.ParseFloat(query.Get("size"), 64)
		if err != nil {
			return 0, "", &catalog.Error{Code: catalog.CodeInvalidSize, Name: "invalid size", Message: "size must be a number"}
		}
		if n != math.Trunc(n) || n < 1 || n > maxPageSize {
			return 0, "", &catalog.Error{
				Code: catalog.CodeInvalidSize, Name: "invalid size",
				Message: "size must be an integer between 1 and " + strconv.Itoa(maxPageSize),
			}
		}
		size = int(n)
	}
	offset = query.Get("offset")
	if query.Has("offset") && offset == "" {
		return 0, "", invalidOffset(offset)
	}
	return size, offset, nil
}

// strangeOffset tells whether an offset is well formed and names no id. Kong's database
// refuses such a one.
func strangeOffset(offset string) bool {
	text, err := base64.RawURLEncoding.DecodeString(offset)
	if err != nil {
		return false
	}
	var parts []string
	return json.Unmarshal(text, &parts) == nil && len(parts) > 0 && !isUUID(parts[0])
}

func invalidOffset(offset string) error {
	return &catalog.Error{
		Code: catalog.CodeInvalidOffset, Name: "invalid offset", Message: "'" + offset + "' is not a valid offset: bad json encoding",
	}
}

// tags reads the filter: a,b means both, a/b means any.
func tags(query url.Values) (list []string, either bool, err error) {
	given, filter := query.Has("tags"), query.Get("tags")
	if !given && query.Has("tags[]") {
		given, filter = true, strings.Join(query["tags[]"], ",")
	}
	if !given {
		return nil, false, nil
	}
	separator := ","
	if either = strings.Contains(filter, "/"); either {
		separator = "/"
	}
	if filter == "" {
		return nil, false, invalidTags("cannot be null")
	}
	list = strings.Split(filter, separator)
	for i, tag := range list {
		// The last one may be empty: no entity has such a tag.
		if !isTag(tag) || tag == "" && (i == 0 || i < len(list)-1) {
			return nil, false, invalidTags("invalid filter syntax")
		}
	}
	if len(list) > mostTags {
		return nil, false, invalidTags("cannot query more than " + strconv.Itoa(mostTags) + " tags")
	}
	return list, either, nil
}

// mostTags is how many tags a list can be asked for, as in Kong.
const mostTags = 5

// isTag tells whether all bytes may be those of a tag.
func isTag(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == ',' || c == '/' || c == 0x7f || c > 0xf4 {
			return false
		}
	}
	return true
}

func invalidTags(why string) error {
	return &catalog.Error{
		Code: catalog.CodeInvalidOptions, Name: "invalid options",
		Message: "invalid option (tags: " + why + ")", Fields: schema.Object{"tags": why},
	}
}

// pageBody is the body of a page; next leads to the one after it. Below a parent Kong
// leaves the size out of it.
func pageBody(c *call, p catalog.Page, query url.Values, top bool) schema.Object {
	out := schema.Object{"next": nil}
	if p.JSON != nil {
		out["data"] = encoded(p.JSON)
	} else {
		list := make([]any, len(p.Entities))
		for i, o := range p.Entities {
			list[i] = o
		}
		out["data"] = list
	}
	if p.Next != "" {
		next := []string{"offset=" + url.QueryEscape(p.Next)}
		for _, name := range []string{"tags", "size", nameContains} {
			value := query.Get(name)
			if name == "tags" && value == "" {
				value = strings.Join(query["tags[]"], ",")
			}
			if value != "" && (top || name == nameContains) {
				next = append(next, name+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
			}
		}
		out["offset"], out["next"] = p.Next, c.path()+"?"+strings.Join(next, "&")
	}
	return out
}

// addTags adds the view of all tags, which is read-only.
func (a *API) addTags(def *entity.Def) {
	top := "/" + def.Schema.Collection()
	readOnly := func(*call) (answer, error) {
		return answer{}, schema.Violate(kindTags, "does not support insert/upsert/update/delete operations")
	}
	list := func(c *call) (answer, error) {
		tag := ""
		if len(c.values) > 0 {
			tag = c.values[0]
		}
		query := c.r.URL.Query()
		size, offset, err := paging(query)
		if err != nil {
			return answer{}, err
		}
		p, err := c.catalog().Tagged(c.ctx, tag, size, offset)
		if err != nil {
			return answer{}, err
		}
		return pageAnswer(pageBody(c, p, query, tag == ""))
	}
	a.table.add(top, map[string]handler{http.MethodGet: list, http.MethodPost: readOnly})
	a.table.add(top+item(def), map[string]handler{
		http.MethodGet: list, http.MethodPut: readOnly, http.MethodPatch: readOnly, http.MethodDelete: readOnly,
	})
}
