package pluginhost

import (
	"maps"
	"slices"
	"strconv"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/queue"
)

// counted is state that feeds a sink.
type counted interface{ Counts() queue.Counts }

// Sinks appends what became of the entries that plugins sent to sinks, and what waits.
func (h *Host) Sinks(b []byte) []byte {
	all := map[string]queue.Counts{}
	h.mu.Lock()
	for name, n := range h.nodes {
		sum, feeds := n.ended, n.feeds
		for _, s := range n.shared {
			if c, ok := s.state.(counted); ok {
				sum.Add(c.Counts())
				feeds = true
			}
		}
		if feeds {
			all[name] = sum
		}
	}
	h.mu.Unlock()
	names := slices.Sorted(maps.Keys(all))
	const total, waiting = "sluice_dataplane_log_entries_total", "sluice_dataplane_log_entries_waiting"
	for i, name := range names {
		if i == 0 {
			b = pdk.AppendMetric(b, total, "counter", "Entries of plugins that log, by what became of them: sent, dropped to make room, or lost with a sink that was away.")
		}
		c := all[name]
		for _, r := range []struct {
			result string
			n      int64
		}{{"sent", c.Sent}, {"dropped", c.Dropped}, {"lost", c.Lost}} {
			b = append(pdk.AppendLabel(append(b, total+"{"...), "plugin", name), `,result="`+r.result+`"} `...)
			b = append(strconv.AppendInt(b, r.n, 10), '\n')
		}
	}
	for i, name := range names {
		if i == 0 {
			b = pdk.AppendMetric(b, waiting, "gauge", "Entries that wait to be sent.")
		}
		b = append(pdk.AppendLabel(append(b, waiting+"{"...), "plugin", name), "} "...)
		b = append(strconv.AppendInt(b, int64(all[name].Waiting), 10), '\n')
	}
	return b
}

// endedLocked keeps the counts of a state that was closed.
func (n *node) endedLocked(s *shared) {
	if c, ok := s.state.(counted); ok {
		n.ended.Add(c.Counts())
		n.feeds = true
	}
}
