package pluginhost_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/pluginhost"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/queue"
	"github.com/sluice-gateway/sluice/shared/pdk/sink"
)

type nothing struct{}

func (nothing) Close() error { return nil }

// feeding is a plugin whose configs put an entry each into a feed of their own, named by
// the config.
func feeding(send func(ctx context.Context, batch []*queue.Entry) error) *pdk.Plugin {
	return &pdk.Plugin{Name: "feeding", Build: func(env pdk.Env, config json.RawMessage) (pdk.Phases, error) {
		feed, _ := env.Shared(string(config), func() any {
			c := sink.Fire(1)
			c.MaxRetryTime, c.InitialRetryDelay, c.MaxRetryDelay = 3600, 1, 1
			return sink.NewFeed(queue.Options{Config: c, Send: send}, nothing{})
		}).(*sink.Feed)
		e := queue.NewEntry()
		e.B = append(e.B, "entry"...)
		feed.Put(e)
		return pdk.Phases{}, nil
	}}
}

// TestCloseTogether: feeds whose sinks are away share the time that a stop may take.
func TestCloseTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := pluginhost.New(pluginhost.Options{})
		p := feeding(func(context.Context, []*queue.Entry) error { return errors.New("away") })
		for _, config := range []string{`1`, `2`, `3`, `4`} {
			if _, _, err := h.Build(p, pluginhost.Scope{}, json.RawMessage(config)); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > queue.DefaultFlushTimeout {
			t.Errorf("closing took %v", took)
		}
	})
}

// TestSinks: counts outlive the configs that they come from.
func TestSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := pluginhost.New(pluginhost.Options{})
		defer func() { _ = h.Close() }()
		p := feeding(func(context.Context, []*queue.Entry) error { return nil })
		if b := h.Sinks(nil); len(b) != 0 {
			t.Errorf("without feeds: %s", b)
		}
		_, first, err := h.Build(p, pluginhost.Scope{}, json.RawMessage(`1`))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.Build(p, pluginhost.Scope{}, json.RawMessage(`2`)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want := `sluice_dataplane_log_entries_total{plugin="feeding",result="sent"} 2` + "\n"
		if b := string(h.Sinks(nil)); !strings.Contains(b, want) || !strings.Contains(b, `sluice_dataplane_log_entries_waiting{plugin="feeding"} 0`) {
			t.Errorf("got %s", b)
		}
		first.Drop()
		time.Sleep(3 * pluginhost.Linger)
		synctest.Wait()
		if b := string(h.Sinks(nil)); !strings.Contains(b, want) {
			t.Errorf("after one is gone: %s", b)
		}
	})
}
