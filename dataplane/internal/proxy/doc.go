// Package proxy is the request walk: route, rewrite and access phases, balancer
// pick, round trip, response phases, send, log. It owns the order of things and
// what the gateway adds to requests and responses; it refuses to parse HTTP, to
// open connections and to choose targets.
package proxy
