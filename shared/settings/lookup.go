package settings

import (
	"strings"
)

// knowledge says whose a name is.
type knowledge uint8

const (
	unknown knowledge = iota
	mine
	others // of the other plane
	isKongs
)

func (l *loader) known(name string) knowledge {
	switch {
	case lookup(l.plane, name) != nil:
		return mine
	case lookup(BothPlanes, name) != nil:
		return others
	case isForeign(name):
		return isKongs
	}
	return unknown
}

// lookup finds the key of any of the planes, or nil.
func lookup(planes Plane, name string) *Key {
	for i := range keys {
		if keys[i].Name == name && keys[i].Planes&planes != 0 {
			return &keys[i]
		}
	}
	return nil
}

// Keys returns the table of a plane, in the order of --help.
func Keys(plane Plane) []Key {
	var out []Key
	for _, k := range keys {
		if k.Planes&plane != 0 {
			out = append(out, k)
		}
	}
	return out
}

// isServiceLink knows the variables that Kubernetes and Docker make of a service
// called sluice-something or kong-something: they look like settings and are none.
func isServiceLink(name string) bool {
	if lookup(BothPlanes, strings.ToLower(name)) != nil {
		return false
	}
	if strings.HasSuffix(name, "_SERVICE_HOST") || strings.HasSuffix(name, "_SERVICE_PORT") || strings.Contains(name, "_SERVICE_PORT_") {
		return true
	}
	if strings.HasPrefix(name, "SERVICE_") {
		return true
	}
	_, after, found := strings.Cut("_"+name, "_PORT")
	if !found {
		return false
	}
	if after == "" {
		return true
	}
	number, protocol, _ := strings.Cut(strings.TrimPrefix(after, "_"), "_")
	for _, c := range number {
		if c < '0' || c > '9' {
			return false
		}
	}
	return number != "" && (strings.HasPrefix(protocol, "TCP") || strings.HasPrefix(protocol, "UDP"))
}

// nearest returns the plane's key with the smallest edit distance to name, or ""
// when none is near enough to be what was meant.
func nearest(plane Plane, name string) string {
	best, least := "", max(2, len(name)/3)+1
	for _, k := range keys {
		if k.Planes&plane == 0 {
			continue
		}
		if d := distance(k.Name, name); d < least {
			best, least = k.Name, d
		}
	}
	return best
}

// distance counts the insertions, deletions, replacements and swaps of neighbours
// that lead from a to b.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
