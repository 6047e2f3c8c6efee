package schema

// compiled is what a schema needs at run time, made on first use.
type compiled struct{}
