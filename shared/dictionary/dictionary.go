// Package dictionary has the zstd dictionaries that both planes compress small messages
// with: an entity in canonical JSON is mostly names of fields and defaults, which a
// dictionary takes out. It refuses to compress: those who do have their own settings.
//
// A dictionary is part of the protocol. It never changes; a better one gets the next
// number, and a name among the features of hello and welcome.
package dictionary

import _ "embed" // the dictionaries

// One is dictionary 1, in the format of zstd. It was made of change lists of one entity
// each: routes, services, plugins, upstreams, targets, consumers and their credentials.
//
//go:embed 1.zdict
var One []byte
