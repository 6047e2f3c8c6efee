// Package settings reads what an operator configures a process with: defaults,
// below a file in kong.conf syntax, below KONG_<KEY> and then SLUICE_<KEY> in the
// environment, below flags. It owns the table of keys of both planes, so that a
// Kong user's file or environment starts either of them.
//
// A key that nobody knows is an error where the name is ours (SLUICE_, flags, the
// file); under KONG_ it is one warning, because existing deployments carry settings
// of nginx, Lua and Postgres that mean nothing here. Every value is checked before
// anything starts, and an error names the key, the value's place and what is right.
//
// The package refuses to open listeners, to read certificates before they are
// asked for, and to know what a setting does.
package settings
