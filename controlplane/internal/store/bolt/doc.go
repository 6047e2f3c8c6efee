// Package bolt keeps a store in one bbolt file. It owns the file's layout and what a
// transaction means: entities, their index entries, the revision, the root and the
// change set are committed together or not at all. It refuses files that are torn,
// empty, in use or newer than itself, and knows nothing of schemas: bodies are bytes.
//
// The key tree, version 1. Names are literal, <...> stand for values:
//
//	meta
//	  version                  layout version, uint32
//	  lineage                  random UUID, made when the store was created
//	  head                     position of the newest revision, extent of the log
//	  cipher                   the data key of an encrypted file, see seal.go
//	entity/<kind>              streamed entities; the bucket's sequence is their number
//	  <id>                     index entries of the entity, then its body as it came
//	local/<kind>               the same for kinds that are not streamed
//	  <id>
//	unique/<index>             exclusive index entries
//	  <key>                    id
//	multi/<index>              entries of multi-indexes
//	  <length of key><key><id> nothing
//	log
//	  <revision>               change set that led to the revision, with a checksum; uint64 big endian
//	stage                      what a change of much has written before it is committed, see stage.go
//	value
//	  <key>                    values that belong to the control plane itself
//
// Ids are unique across workspaces, so that entities need no workspace in their key.
// Index keys are made by the catalog, which puts the workspace in front of them.
//
// The tree of entity hashes is not stored. It is made again from the bodies when the
// store is opened, which at the same time proves that every body is what was committed.
package bolt
