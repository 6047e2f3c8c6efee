package entity

import (
	"errors"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Flavor says what routes are matched by.
type Flavor string

// Flavors of the router.
const (
	TraditionalCompatible Flavor = "traditional_compatible"
	Traditional           Flavor = "traditional"
	Expressions           Flavor = "expressions"
)

// Routes is the kind "routes": which requests go to which service. expression
// compiles the expression of a route; nil leaves that to the data plane.
func Routes(flavor Flavor, expression func(expression string, protocols []string) error) *Def {
	sni := schema.WildcardSNI()
	if flavor == Traditional {
		sni = schema.SNI()
	}
	families := routeFamilies(flavor)
	s := &schema.Schema{
		Name:          "routes",
		PrimaryKey:    []string{"id"},
		EndpointKey:   "name",
		Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.UpdatedAt(),
			schema.Name().Named("name").AsUnique(),
			routeProtocols(),
			{
				Name: "https_redirect_status_code", Type: schema.Integer, Required: true,
				Default: 426, OneOf: []any{426, 301, 302, 307, 308},
			},
			{Name: "strip_path", Type: schema.Boolean, Default: true, Required: true},
			{Name: "preserve_host", Type: schema.Boolean, Default: false, Required: true},
			{Name: "request_buffering", Type: schema.Boolean, Default: true, Required: true},
			{Name: "response_buffering", Type: schema.Boolean, Default: true, Required: true},
			schema.Tags(),
			schema.ForeignTo("services", "").Named("service"),
			schema.SetOf(sni).Named("snis"),
			endpoints("sources"),
			endpoints("destinations"),
			schema.SetOf(schema.HTTPMethod()).Named("methods"),
			schema.ArrayOf(schema.WildcardHost()).Named("hosts"),
			schema.ArrayOf(schema.RouterPath()).Named("paths"),
			schema.MapOf(routeHeaderName(), schema.ArrayOf(schema.Field{Type: schema.String})).Named("headers"),
			{Name: "regex_priority", Type: schema.Integer, Default: 0},
			schema.OneOf("v0", "v1").Named("path_handling").Defaults("v0"),
		},
		Checks: []schema.EntityCheck{
			{Conditional: &schema.Conditional{
				If: "protocols", IfMatch: schema.Field{Elements: &schema.Field{
					Type: schema.String, NotOneOf: []any{"grpcs", "https", "tls", "tls_passthrough"},
				}},
				Then: "snis", ThenMatch: schema.Field{LenEq: new(0)},
				ThenErr: "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'",
			}},
			// Kong only warns about path_handling here; its place shows in /schemas.
			{Func: func(schema.Object) error { return nil }, FuncName: "path_handling", Fields: []string{"path_handling"}},
			{
				FuncName: "match", RunWithMissing: true, Func: checkMatch(flavor, expression),
				Fields: []string{
					"id", "protocols", "snis", "sources", "destinations", "methods", "hosts", "paths", "headers",
					"expression", "regex_priority", "priority",
				},
			},
		},
		SubschemaKey: "protocols",
		Subschema: func(protocol string) (*schema.Schema, bool) {
			family, ok := families[protocol]
			return family, ok
		},
	}
	if flavor == Expressions {
		s.Fields = append(
			s.Fields,
			schema.Field{Name: "expression", Type: schema.String},
			schema.Field{Name: "priority", Type: schema.Integer, Required: true, Default: 0, Between: []float64{0, 1<<46 - 1}},
		)
	}
	return &Def{Schema: s, New: func() any { return new(Route) }}
}

func routeProtocols() schema.Field {
	f := schema.Protocols(schema.AllProtocols, "http", "https")
	f.LenMin = new(1)
	f.MutuallyExclusiveSubsets = [][]string{{"http", "https"}, {"tcp", "tls", "udp"}, {"tls_passthrough"}, {"grpc", "grpcs"}}
	return f
}

func endpoints(name string) schema.Field {
	e := schema.RecordOf(schema.IPOrCIDR().Named("ip"), schema.Port().Named("port"))
	e.Checks = []schema.EntityCheck{{AtLeastOneOf: []string{"ip", "port"}}}
	return schema.SetOf(e).Named(name)
}

func routeHeaderName() schema.Field {
	f := schema.HeaderName()
	f.MatchNone = []schema.Pattern{{
		Pattern: "^[Hh][Oo][Ss][Tt]$",
		Err:     "cannot contain 'host' header, which must be specified in the 'hosts' attribute",
	}}
	return f
}

const expressionFailed = "Router Expression failed validation: "

var (
	errExpressionAndFields = errors.New(expressionFailed + "cannot set 'expression' with 'methods', 'hosts', 'paths', " + //nolint:staticcheck // Kong's words
		"'headers', 'snis', 'sources' or 'destinations' simultaneously")
	errExpressionAndRegexPriority = errors.New(expressionFailed + "cannot set 'regex_priority' with 'expression' simultaneously") //nolint:staticcheck // Kong's words
	errPriorityAndFields          = errors.New(expressionFailed + "cannot set 'priority' with 'methods', 'hosts', 'paths', " +    //nolint:staticcheck // Kong's words
		"'headers', 'snis', 'sources' or 'destinations' simultaneously")
	// errNoHeaderValues is what Kong's compiler says about the expression that a header
	// without values becomes.
	errNoHeaderValues = errors.New(expressionFailed + " --> 1:2\n  |\n1 | ()\n  |  ^---\n  |\n  = expected term") //nolint:staticcheck // Kong's words
)

// checkMatch checks what only shows when the fields to match by are seen together.
func checkMatch(flavor Flavor, compile func(string, []string) error) func(schema.Object) error {
	return func(o schema.Object) error {
		headers, _ := o["headers"].(schema.Object)
		for _, values := range headers {
			if list, _ := values.([]any); len(list) == 0 && flavor != Traditional {
				return errNoHeaderValues
			}
		}
		if flavor != Expressions {
			return nil
		}
		expression, _ := o["expression"].(string)
		fields := false
		for _, name := range []string{"snis", "sources", "destinations", "methods", "hosts", "paths"} {
			list, _ := o[name].([]any)
			fields = fields || len(list) > 0
		}
		fields = fields || len(headers) > 0
		zero := func(name string) bool { return o[name] == nil || o[name] == int64(0) }
		switch {
		case expression != "" && fields:
			return errExpressionAndFields
		case expression != "" && !zero("regex_priority"):
			return errExpressionAndRegexPriority
		case fields && !zero("priority"):
			return errPriorityAndFields
		case expression == "" || compile == nil:
			return nil
		}
		list, _ := o["protocols"].([]any)
		protocols := make([]string, 0, len(list))
		for _, p := range list {
			if s, ok := p.(string); ok {
				protocols = append(protocols, s)
			}
		}
		if err := compile(expression, protocols); err != nil {
			return errors.New(expressionFailed + err.Error())
		}
		return nil
	}
}
