package pdk

import "time"

// Fault is what makes a try at a target fail. Faults are bits.
type Fault uint8

// Faults.
const (
	// FaultConnect means that no connection could be made; nothing was sent.
	FaultConnect Fault = 1 << iota
	// FaultTimeout means that connecting, sending or the wait for an answer took too long.
	FaultTimeout
	// FaultReset means that the connection broke before there was an answer.
	FaultReset
	// FaultInvalid means that the answer was no HTTP.
	FaultInvalid
	// FaultStatus means that the answer had one of the statuses of the policy.
	FaultStatus
)

// RetryPolicy says when a try that failed is followed by another one, in place of the
// service's retries and Kong's rules. A plugin hands it to an exchange in its access
// phase; it must not be changed afterwards.
type RetryPolicy struct {
	// Retries is the most further tries.
	Retries int
	// On are the faults that lead to another try.
	On Fault
	// Statuses of answers that count as FaultStatus.
	Statuses []int
	// Methods of requests that may be sent again although a target may have received
	// them. Others are tried again only while nothing was sent. nil means all but POST,
	// PATCH and LOCK.
	Methods []string
	// PerTry bounds the time to the head of an answer, connecting included; 0 leaves the
	// service's timeouts.
	PerTry time.Duration
	// Backoff is how long to wait before the first further try; each one after it waits
	// twice as long, up to MaxBackoff, less a random half. 0 does not wait.
	Backoff, MaxBackoff time.Duration
	// Allow is asked before each further try, and takes it off a budget; nil allows all.
	Allow func() bool
	// Hedge is how long to wait for the head of an answer before a second target is asked
	// as well; the first answer counts. 0 is off.
	Hedge time.Duration
}
