package bolt

import (
	"syscall"

	"go.etcd.io/bbolt"
)

// release takes the file's pages out of the process's memory, where everything that was read
// stays otherwise until memory is short. What is read again comes from the operating system's
// cache. While b lasts the file is not mapped elsewhere.
func (s *Store) release(b *bbolt.Tx) {
	info := s.db.Info()
	size := uintptr(b.Size()) &^ uintptr(info.PageSize-1)
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, info.Data, size, syscall.MADV_DONTNEED)
}
