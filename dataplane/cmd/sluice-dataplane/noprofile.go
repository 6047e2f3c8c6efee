//go:build !profile

package main

// profile does nothing; see the build with the tag of that name.
func profile() (stop func(), err error) { return func() {}, nil }
