package pdk

// Field is one header line. Name keeps the case in which it arrived or was set.
type Field struct {
	Name, Value string
}

// Header is an ordered list of header lines. Names compare without regard to
// ASCII case. The zero value is empty and ready. It is not safe for concurrent use.
type Header struct {
	fields []Field
}

// Fields returns the lines in order. The slice is valid until the next change;
// its elements may be read only.
func (h *Header) Fields() []Field { return h.fields }

// Len returns the number of lines.
func (h *Header) Len() int { return len(h.fields) }

// Get returns the value of the first line of that name, or "".
func (h *Header) Get(name string) string {
	for i := range h.fields {
		if EqualFold(h.fields[i].Name, name) {
			return h.fields[i].Value
		}
	}
	return ""
}

// Has tells whether there is a line of that name.
func (h *Header) Has(name string) bool { return h.index(name) >= 0 }

// Count returns the number of lines of that name.
func (h *Header) Count(name string) int {
	n := 0
	for i := range h.fields {
		if EqualFold(h.fields[i].Name, name) {
			n++
		}
	}
	return n
}

// Values appends the values of all lines of that name to dst.
func (h *Header) Values(dst []string, name string) []string {
	for i := range h.fields {
		if EqualFold(h.fields[i].Name, name) {
			dst = append(dst, h.fields[i].Value)
		}
	}
	return dst
}

// Set replaces the first line of that name, keeping its place, and removes the
// others; without one it adds a line at the end.
func (h *Header) Set(name, value string) {
	i := h.index(name)
	if i < 0 {
		h.fields = append(h.fields, Field{name, value})
		return
	}
	h.fields[i] = Field{name, value}
	h.deleteFrom(i+1, name)
}

// Add adds a line at the end.
func (h *Header) Add(name, value string) {
	h.fields = append(h.fields, Field{name, value})
}

// Del removes all lines of that name.
func (h *Header) Del(name string) { h.deleteFrom(0, name) }

// DelFunc removes the lines for which drop is true.
func (h *Header) DelFunc(drop func(f *Field) bool) {
	kept := h.fields[:0]
	for i := range h.fields {
		if !drop(&h.fields[i]) {
			kept = append(kept, h.fields[i])
		}
	}
	h.fields = kept
}

// CopyFrom makes the header equal to another one.
func (h *Header) CopyFrom(from *Header) { h.fields = append(h.fields[:0], from.fields...) }

// Reset removes all lines and keeps the memory.
func (h *Header) Reset() {
	clear(h.fields)
	h.fields = h.fields[:0]
}

func (h *Header) index(name string) int {
	for i := range h.fields {
		if EqualFold(h.fields[i].Name, name) {
			return i
		}
	}
	return -1
}

func (h *Header) deleteFrom(from int, name string) {
	kept := h.fields[:from]
	for i := from; i < len(h.fields); i++ {
		if !EqualFold(h.fields[i].Name, name) {
			kept = append(kept, h.fields[i])
		}
	}
	h.fields = kept
}

// EqualFold compares two strings without regard to ASCII case.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z' {
			return false
		}
	}
	return true
}
