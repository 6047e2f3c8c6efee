package basicauth

import (
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// KongMark goes before a hash in Kong's form that stands where passwords are in clear: a
// document that does not say whether it was transformed.
const KongMark = "$kong-sha1$"

// concealed remembers at the control plane which hash is of which password, so that a
// document that is loaded again and again is not slow each time.
var concealed = sync.OnceValue(newVerdicts)

// conceal makes the stored form of the password that o has in clear. A text that is a hash
// by its form, or that is what is stored, stays: a dump can be written back. A document may
// have thousands of passwords: theirs are brought into Kong's form, which takes no time,
// and are upgraded with the others.
func conceal(o schema.Object, op schema.Op, stored schema.Object) error {
	password, _ := o["password"].(string)
	consumer, _ := o["consumer"].(schema.Object)
	consumerID, _ := consumer["id"].(string)
	was, _ := stored["password"].(string)
	old, _ := stored["consumer"].(schema.Object)
	same := was != "" && old["id"] == consumerID
	if password == was && was != "" {
		return nil
	}
	is, err := hashed(password)
	if err != nil {
		return schema.Violate("password", err.Error())
	}
	kongs, marked := strings.CutPrefix(password, KongMark)
	marked = marked && isKongs(kongs)
	switch {
	case is:
	case op == schema.DeclareStored && isKongs(password), marked:
		if marked {
			password = kongs
		}
		o["password"] = password
		if rest, wrapped := strings.CutPrefix(was, markWrapped); wrapped && same && wraps(was, rest, password) {
			o["password"] = was
		}
	case op == schema.DeclareStored:
		return schema.Violate("password", "expected a hash, because the document says that it has been transformed")
	case op == schema.Declare:
		o["password"] = digest(password, consumerID)
		if same && isOf(was, password, consumerID) {
			o["password"] = was
		}
	case same && strings.HasPrefix(was, markArgon) && isOf(was, password, consumerID):
		o["password"] = was // writing the same again changes nothing
	default:
		o["password"] = hash(password)
	}
	return nil
}

// isOf tells whether a stored hash is that of a password.
func isOf(was, password, consumerID string) bool {
	if rest, wrapped := strings.CutPrefix(was, markWrapped); wrapped {
		return wraps(was, rest, digest(password, consumerID))
	}
	good, err := concealed().check("", was, password, consumerID)
	return err == nil && good
}

// wraps tells whether a hash is the upgrade of another one.
func wraps(stored, rest, kongs string) bool {
	v := concealed()
	k := v.key("", stored, kongs)
	if good, known := v.known(k); known {
		return good
	}
	if !verifyDerived(rest, kongs) {
		return false
	}
	v.remember("", stored, kongs)
	return true
}

// upgrade returns a credential whose password is in Kong's form with a better one.
func upgrade(o schema.Object) schema.Object {
	password, _ := o["password"].(string)
	if !isKongs(password) {
		return o
	}
	out := schema.Clone(o)
	wrapped := wrap(password)
	out["password"] = wrapped
	concealed().remember("", wrapped, password)
	return out
}
