package version_test

import (
	"regexp"
	"testing"

	"github.com/sluice-gateway/sluice/shared/version"
)

func TestVersionsAreVersions(t *testing.T) {
	if !regexp.MustCompile(`^v?\d+\.\d+\.\d+`).MatchString(version.Sluice()) {
		t.Errorf("Sluice() = %q, which is no version", version.Sluice())
	}
	// The Go client takes a fourth digit or a suffix for Kong Enterprise.
	if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version.Kong) {
		t.Errorf("Kong = %q, want three numbers and no suffix", version.Kong)
	}
}
