// Package e2e drives both planes as a user would: the built programs, real sockets,
// curl's requests. It owns the promises that span rooms, and the test of the floors;
// it refuses to look inside a plane. E2E_BIN names the folder with the programs; the
// tests build them when it is unset.
package e2e
