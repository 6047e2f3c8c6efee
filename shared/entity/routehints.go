package entity

import (
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// routeHints says which regular expressions of a route need backtracking, and what the
// expression's compiler has to say.
func routeHints(flavor Flavor, expression func(string, []string) []string) func(schema.Object) []string {
	return func(o schema.Object) []string {
		var out []string
		regex := func(field, pattern string) {
			if r, err := schema.CompileRegex(pattern); err == nil && r.Linear() == nil {
				out = append(out, field+": "+schema.Backtracking(pattern))
			}
		}
		for i, p := range texts(o["paths"]) {
			if pattern, ok := strings.CutPrefix(p, "~"); ok {
				regex("paths."+strconv.Itoa(i+1), pattern)
			}
		}
		headers, _ := o["headers"].(schema.Object)
		for name, values := range headers {
			for _, v := range texts(values) {
				if pattern, ok := strings.CutPrefix(v, "~*"); ok {
					regex("headers."+name, pattern)
				}
			}
		}
		slices.Sort(out)
		if text, ok := o["expression"].(string); ok && flavor == Expressions && expression != nil {
			for _, hint := range expression(text, texts(o["protocols"])) {
				out = append(out, "expression: "+hint)
			}
		}
		return out
	}
}

func texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, _ := e.(string)
		out = append(out, s)
	}
	return out
}
