// Package expression is the language of Kong's expression routes: a parser that
// complains in Kong's words and columns, a type check, and programs that say whether
// a request matches without allocating.
//
//	http.path ^= "/api" && (http.method == "GET" || any(lower(http.headers.x_beta)) == "on")
//
// Types are String, Int, IpAddr, IpCidr and regular expressions; == and != compare
// all, ~ ^= =^ and contains strings, < <= > >= numbers, in and not in addresses with
// networks. lower() and any() transform the left side, any() holds when any of
// several values does where else all must. Beware: || binds tighter than &&. A
// predicate about a field that the request does not have is false, != too.
//
// It is used by routes, and by whatever else asks a question about a request, such
// as the condition of a plugin:
//
//	program, err := expression.Compile(source, expression.HTTP) // at write time and at Build
//	...
//	var q expression.Request // keep it with the exchange: it holds memory to reuse
//	q.Load(x)                // *pdk.Exchange; or fill the fields yourself
//	if program.Match(&q) { ... }
//
// A Program is immutable and safe for concurrent use; a Request belongs to one
// goroutine. An error of Compile is an *Error, which knows line and column; its text
// is what Kong's Admin API says after "Router Expression failed validation: ".
//
// The package knows nothing of routes, priorities and tables; Anchors tells a router
// where to file a program.
package expression
