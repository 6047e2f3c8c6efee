//go:build unix && !linux

package rawio

import "syscall"

// Read reads what is there. The end of the stream is 0 and nil. p must not be empty.
func Read(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		if err != syscall.EINTR { //nolint:errorlint // syscall returns it bare
			return result(n, errnoOf(err))
		}
	}
}

// Write writes what fits into the socket's buffer. p must not be empty.
func Write(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		if err != syscall.EINTR { //nolint:errorlint // syscall returns it bare
			return result(n, errnoOf(err))
		}
	}
}

// Peek looks for a byte without taking it: 1, or 0 and nil at the end of the stream.
func Peek(fd uintptr) (int, error) {
	var b [1]byte
	for {
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR { //nolint:errorlint // syscall returns it bare
			return result(n, errnoOf(err))
		}
	}
}

func errnoOf(err error) syscall.Errno {
	if e, ok := err.(syscall.Errno); ok { //nolint:errorlint // syscall returns it bare
		return e
	}
	return 0
}
