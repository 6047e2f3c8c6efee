//go:build !linux

package bolt

import "go.etcd.io/bbolt"

func (*Store) release(*bbolt.Tx) {}
