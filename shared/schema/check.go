package schema

// EntityCheck is a rule across the fields of a schema or record. Exactly one of
// the kinds is set. Field paths are dotted.
type EntityCheck struct {
	AtLeastOneOf      []string
	OnlyOneOf         []string
	MutuallyExclusive []string
	MutuallyRequired  []string
	Distinct          []string
	// If one field satisfies a condition, another must satisfy a requirement.
	Conditional *Conditional
	// ConditionalAtLeastOneOf: if a field satisfies a condition, one of a list must be set.
	ConditionalAtLeastOneOf *ConditionalAtLeastOneOf
	// Func is a code check. Fields are the dotted sources that it reads; it runs when
	// any of them changes. It returns nil, a *Violation, or an error whose text becomes
	// an @entity message.
	Func func(o Object) error
	// Fields that Func reads, rendered as field_sources.
	Fields []string
	// RunWithMissing and RunWithInvalid run Func also when some of Fields are null,
	// or when one of them is wrong.
	RunWithMissing, RunWithInvalid bool
	// FuncName is for renderers.
	FuncName string
}

// Conditional says that if If satisfies IfMatch, Then must satisfy ThenMatch. The matches
// are fields of which only the value attributes count.
type Conditional struct {
	If        string
	IfMatch   Field
	Then      string
	ThenMatch Field
	// ThenErr replaces the standard message.
	ThenErr string
	// Unless one of these fields is set: an extension that stands in. It is not rendered.
	Unless []string
}

// ConditionalAtLeastOneOf says that if If satisfies IfMatch, one of ThenAtLeastOneOf must be set.
type ConditionalAtLeastOneOf struct {
	If               string
	IfMatch          Field
	ThenAtLeastOneOf []string
	ThenErr          string
	ElseMatch        *Field
	ElseAtLeastOneOf []string
	ElseErr          string
}
