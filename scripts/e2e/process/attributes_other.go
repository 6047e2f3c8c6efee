//go:build !linux

package process

import "syscall"

// attributes puts a child into its own group.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
