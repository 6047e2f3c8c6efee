// Package roothash keeps the hash over all entities that makes a position
// provable. Both planes compute it with the same code: the control plane in the
// transaction of a change, a node after each apply.
package roothash

// Size of a root and of an entity hash in bytes.
const Size = 32

// Root is a hash over a set of entities.
type Root [Size]byte
