package settings

// Plane says which of the two programs a key belongs to.
type Plane uint8

// Planes are bits, so that a key can belong to both.
const (
	ControlPlane Plane = 1 << iota
	DataPlane
	BothPlanes = ControlPlane | DataPlane
)

func (p Plane) String() string {
	switch p {
	case ControlPlane:
		return "control plane"
	case DataPlane:
		return "data plane"
	case BothPlanes:
		return "both planes"
	}
	return "no plane"
}

// Kind says how a value is written and which accessor reads it.
type Kind uint8

// Kinds of values. The zero value is invalid.
const (
	// String is any text.
	String Kind = iota + 1
	// Bool is on, off, true, false, yes or no.
	Bool
	// Int is a whole number between Min and Max.
	Int
	// Share is a number from 0 to 1.
	Share
	// Duration is a number of seconds, or numbers with units: 500ms, 30s, 5m, 1h, 1d.
	Duration
	// Size is a number of bytes, or one with a unit of 1024: 8k, 10m, 1g.
	Size
	// List is text separated by commas.
	List
	// Networks is a List of IP addresses, CIDR ranges and "unix:".
	Networks
	// Labels is a List of key:value pairs.
	Labels
	// Listeners is "off" or addresses with flags, as Kong writes them.
	Listeners
	// Address is host:port.
	Address
	// URL is an absolute http or https URL.
	URL
	// Path is a file or folder, made absolute from the working directory.
	Path
	// Log is "off", or a file that is relative to the prefix and an optional format.
	Log
	// PEM is a path, the PEM text itself, or the PEM text in base64.
	PEM
	// AESKey is 32 bytes: as 64 hex digits, in base64, or as a file that holds either, or
	// the bytes themselves.
	AESKey
	// PEMs is a List of PEM; PEM text may hold several blocks of its own.
	PEMs
)

// Key is one setting.
type Key struct {
	// Name in lower case with underscores, as in kong.conf.
	Name string
	Kind Kind
	// Default is written as a user would; "" means unset.
	Default string
	// Planes that obey the key.
	Planes Plane
	// OneOf lists the only values of a String, or of the parts of a List; empty
	// means any.
	OneOf []string
	// Min and Max bound an Int; both 0 means any number.
	Min, Max int
	// Secret values are masked wherever they are shown.
	Secret bool
	// Own keys have no counterpart in Kong and are not read from KONG_ variables.
	Own bool
	// Description is one sentence for --help.
	Description string
}
