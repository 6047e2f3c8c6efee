//go:build !linux

package main

// takeTerminal is for Linux: elsewhere make calls a stop by Ctrl-C an error.
func takeTerminal() func() { return func() {} }
