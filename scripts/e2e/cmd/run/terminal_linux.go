package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// takeTerminal makes this process the terminal's foreground group. make would
// otherwise get the Ctrl-C too and call a clean stop an error. It does nothing when
// make is not in the foreground. The function returned gives the terminal back.
func takeTerminal() func() {
	// Should make be killed, we are to end as well.
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0, 0, 0)
	terminal := int(os.Stdin.Fd())
	before, err := unix.IoctlGetInt(terminal, unix.TIOCGPGRP)
	if err != nil || before != unix.Getpgrp() {
		return func() {}
	}
	signal.Ignore(syscall.SIGTTOU)
	if err := unix.Setpgid(0, 0); err != nil {
		return func() {}
	}
	if err := unix.IoctlSetPointerInt(terminal, unix.TIOCSPGRP, os.Getpid()); err != nil {
		_ = unix.Setpgid(0, before)
		return func() {}
	}
	return func() { _ = unix.IoctlSetPointerInt(terminal, unix.TIOCSPGRP, before) }
}
