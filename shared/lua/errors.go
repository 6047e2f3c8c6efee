package lua

import "errors"

// Errors that stop a run for good.
var (
	// ErrInstructions stops a function that runs for too long, such as an endless loop.
	ErrInstructions = errors.New("the function ran more instructions than a run may have")
	// ErrTime stops a function whose library calls take too long.
	ErrTime = errors.New("the function ran longer than a run may take")
	// ErrMemory stops a function that would make its machine too large.
	ErrMemory = errors.New("the function needs more memory than its machine may have")
	// ErrDisabled is for functions that come while untrusted_lua is off.
	ErrDisabled = errors.New("loading of untrusted Lua code disabled because 'untrusted_lua' config option is set to 'off'")

	// errExit ends a run that has done its part.
	errExit = errors.New("exit")
)
