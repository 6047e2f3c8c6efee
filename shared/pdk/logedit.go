package pdk

// LogEdit is a change of the record that logging plugins write of an exchange.
type LogEdit struct {
	// Key names the field; dots lead into objects.
	Key string
	// Text is the value, unless IsAny is set: then it is Value.
	Text  string
	Value any
	IsAny bool
	// Mode says what happens when the field is there already or is not.
	Mode LogMode
}

// LogMode is how a LogEdit treats what is there.
type LogMode uint8

// Modes.
const (
	LogSet     LogMode = iota // sets the field always
	LogAdd                    // sets the field unless it is there
	LogReplace                // sets the field if it is there
)

// SetLogText gives a field of the log record a text. The strings must live as long as the
// exchange.
func (x *Exchange) SetLogText(key, value string) {
	x.logEdits = append(x.logEdits, LogEdit{Key: key, Text: value})
}

// SetLogValue gives a field of the log record a value: nil to remove it, a string, bool,
// int, int64, float64, or a map[string]any or []any of these.
func (x *Exchange) SetLogValue(key string, value any, mode LogMode) {
	x.logEdits = append(x.logEdits, LogEdit{Key: key, Value: value, IsAny: true, Mode: mode})
}

// LogEdits returns the changes in the order in which they were made. They may be read only.
func (x *Exchange) LogEdits() []LogEdit { return x.logEdits }
