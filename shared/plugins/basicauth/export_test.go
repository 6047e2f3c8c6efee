package basicauth

import "github.com/sluice-gateway/sluice/shared/schema"

// What tests of passwords need.
var (
	Hash   = hash
	Wrap   = wrap
	Verify = verify
	Digest = digest
)

// Upgrade is the upgrade of a credential.
func Upgrade(o schema.Object) schema.Object { return upgrade(o) }

// Verdicts is what remembers.
type Verdicts struct{ *verdicts }

// NewVerdicts makes one.
func NewVerdicts() Verdicts { return Verdicts{newVerdicts()} }

// Check tells whether the password of a credential is good.
func (v Verdicts) Check(id, stored, password, consumer string) (bool, error) {
	return v.check(id, stored, password, consumer)
}

// Len counts what is remembered.
func (v Verdicts) Len() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return len(v.young) + len(v.old)
}

// Busy is the error of too many.
var Busy = errBusy

// Fill makes it as if n checks waited.
func (v Verdicts) Fill(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.waiting += n
}

// Most is how much is remembered.
const Most = mostVerdicts

// Learn remembers a good one without looking.
func (v Verdicts) Learn(id, stored, password string) { v.remember(id, stored, password) }
