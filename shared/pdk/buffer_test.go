package pdk_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestBufferBody(t *testing.T) {
	broken := errors.New("connection reset")
	long := strings.Repeat("x", 5000)
	for _, test := range []struct {
		name   string
		body   pdk.Body
		length int64
		limit  int64
		want   string
		err    error
		left   string // what the upstream gets
	}{
		{"none", nil, 0, 10, "", nil, ""},
		{"whole", strings.NewReader("abc"), 3, 3, "abc", nil, "abc"},
		{"chunked", iotest.OneByteReader(strings.NewReader(long)), -1, 0, long, nil, long},
		{"declared too long", strings.NewReader("abcd"), 4, 3, "", pdk.ErrBodyTooLarge, "abcd"},
		{"too long", iotest.HalfReader(strings.NewReader(long)), -1, 1000, "", pdk.ErrBodyTooLarge, long},
		{"too long at the end", iotest.DataErrReader(strings.NewReader("abcd")), -1, 3, "", pdk.ErrBodyTooLarge, "abcd"},
		{"broken", io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(broken)), 5, 0, "", broken, "ab"},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := new(pdk.Exchange)
			x.Request.Body, x.Request.ContentLength = test.body, test.length
			got, err := x.BufferBody(test.limit)
			if string(got) != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %q, %v, want %q, %v", got, err, test.want, test.err)
			}
			left := string(x.Request.Buffered)
			if x.Request.Body != nil {
				b, readErr := io.ReadAll(x.Request.Body)
				left = string(b)
				if errors.Is(test.err, broken) && !errors.Is(readErr, broken) {
					t.Errorf("the upstream's reader gave %v", readErr)
				}
			}
			if left != test.left {
				t.Errorf("the upstream gets %q, want %q", left, test.left)
			}
			if test.err == nil && test.body != nil {
				if again, err := x.BufferBody(0); string(again) != test.want || err != nil || x.Request.ContentLength != int64(len(test.want)) {
					t.Errorf("again: %q, %v, length %d", again, err, x.Request.ContentLength)
				}
				if _, err := x.BufferBody(1); !errors.Is(err, pdk.ErrBodyTooLarge) {
					t.Errorf("a smaller limit gave %v", err)
				}
			}
		})
	}
}

func TestValidatingEnv(t *testing.T) {
	env := pdk.ValidatingEnv(nil, nil)
	if !env.Validating() || env.Logger() == nil || env.CacheSize() <= 0 || env.ID() != "" || env.PluginID() != "" || env.Slot() != 0 {
		t.Error("not as told")
	}
	if got := env.Shared("a", func() any { return 1 }); got != 1 {
		t.Errorf("shared %v", got)
	}
	env.Go(nil)
	env.Every(0, nil)
	env.Each(nil)
}
