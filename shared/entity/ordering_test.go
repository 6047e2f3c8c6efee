package entity_test

import (
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/schema"
)

func TestOrder(t *testing.T) {
	before := func(names ...string) *entity.Ordering {
		return &entity.Ordering{Before: map[string][]string{"access": names}}
	}
	after := func(names ...string) *entity.Ordering {
		return &entity.Ordering{After: map[string][]string{"access": names}}
	}
	for _, test := range []struct {
		name   string
		of     map[string]*entity.Ordering
		want   string
		circle string
	}{
		{"priorities", nil, "auth acl limit log", ""},
		{"before", map[string]*entity.Ordering{"limit": before("auth")}, "limit auth acl log", ""},
		{"after", map[string]*entity.Ordering{"auth": after("limit")}, "limit auth acl log", ""},
		{"after an earlier one", map[string]*entity.Ordering{"acl": after("auth")}, "auth acl limit log", ""},
		{"two", map[string]*entity.Ordering{"limit": before("auth"), "log": before("limit")}, "log limit auth acl", ""},
		{"both", map[string]*entity.Ordering{"log": {Before: map[string][]string{"access": {"acl"}}, After: map[string][]string{"access": {"auth"}}}}, "auth log acl limit", ""},
		{"unknown", map[string]*entity.Ordering{"log": before("none")}, "auth acl limit log", ""},
		{"another phase", map[string]*entity.Ordering{"log": {Before: map[string][]string{"log": {"auth"}}}}, "auth acl limit log", ""},
		{"circle", map[string]*entity.Ordering{"auth": before("acl"), "acl": before("auth")}, "", "acl auth acl"},
		{"itself", map[string]*entity.Ordering{"auth": before("auth")}, "", "auth auth"},
		{"long circle", map[string]*entity.Ordering{"auth": after("log"), "log": after("acl"), "acl": after("auth")}, "", "acl log auth acl"},
	} {
		t.Run(test.name, func(t *testing.T) {
			names := []string{"auth", "acl", "limit", "log"}
			order, circle := entity.Order(names, func(i int) *entity.Ordering { return test.of[names[i]] })
			var got []string
			for _, i := range order {
				got = append(got, names[i])
			}
			if strings.Join(got, " ") != test.want || strings.Join(circle, " ") != test.circle {
				t.Errorf("got %q, circle %q, want %q, %q", got, circle, test.want, test.circle)
			}
		})
	}
}

func TestOrderingAndConditionAreChecked(t *testing.T) {
	plugin := &schema.Schema{Name: "p", Fields: []schema.Field{schema.ProtocolsHTTP(), schema.PluginConfig()}}
	def := entity.Plugins(func(name string) (*schema.Schema, bool) { return plugin, name == "p" }, expression.Validate)
	with := func(field string, v any) schema.Object {
		return schema.Object{"name": "p", "config": schema.Object{}, field: v}
	}
	for _, good := range []schema.Object{
		with("ordering", nil), with("condition", nil), with("condition", `http.path ^= "/a" && http.headers.x == "1"`),
		with("ordering", schema.Object{"before": schema.Object{"access": []any{"p"}}}),
	} {
		if _, err := def.Schema.Process(good, schema.Insert, nil); err != nil {
			t.Errorf("%v: %v", good, err)
		}
	}
	for _, bad := range []struct {
		in   schema.Object
		want string
	}{
		{with("condition", "http.path =="), "condition"},
		{with("condition", `nothing == "1"`), "condition"},
		{with("condition", 1), "condition"},
		{with("ordering", schema.Object{"before": schema.Object{"log": []any{"p"}}}), "expected one of: access"},
		{with("ordering", schema.Object{"before": schema.Object{"access": []any{"q"}}}), "plugin 'q' not enabled"},
		{with("ordering", schema.Object{"around": schema.Object{}}), "unknown field"},
		{with("ordering", "first"), "ordering"},
	} {
		if _, err := def.Schema.Process(bad.in, schema.Insert, nil); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%v: got %v, want %s", bad.in, err, bad.want)
		}
	}
}
