//go:build profile

package main

import (
	"os"
	"runtime/pprof"
)

// profile records what the program spends its time on, in the file that CPU_PROFILE
// names, until the function that it returns is called. make pgo builds the program with it;
// no other build has it.
func profile() (stop func(), err error) {
	f, err := os.Create(os.Getenv("CPU_PROFILE"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}
