package catalog_test

import (
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

func pair(t *testing.T) (certificate, key string) {
	t.Helper()
	c, k, err := tlsutil.Generate("x", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return string(c), string(k)
}
