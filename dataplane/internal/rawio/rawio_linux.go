package rawio

import (
	"syscall"
	"unsafe"
)

// Read reads what is there. The end of the stream is 0 and nil. p must not be empty.
func Read(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if errno == syscall.EINTR {
			continue
		}
		return result(int(n), errno)
	}
}

// Write writes what fits into the socket's buffer. p must not be empty.
func Write(fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		return result(int(n), errno)
	}
}

// Peek looks for a byte without taking it: 1, or 0 and nil at the end of the stream.
func Peek(fd uintptr) (int, error) {
	var b [1]byte
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b)), 1,
			syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		return result(int(n), errno)
	}
}
