package admin

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// appendFleet appends what the link to the data planes has done.
func appendFleet(b []byte, f hub.Figures) []byte {
	b = appendHistogram(b, "sluice_config_applied_seconds", "Time from a commit to its acknowledgement, for each data plane that was connected.", f.Bounds, f.ToEach, f.ToEachSum)
	b = appendHistogram(b, "sluice_config_applied_by_all_seconds", "Time from a commit to the last acknowledgement of the data planes that were connected.", f.Bounds, f.ToLast, f.ToLastSum)
	value := func(name, kind, help string, n uint64) {
		b = pdk.AppendMetric(b, name, kind, help)
		b = append(strconv.AppendUint(append(append(b, name...), ' '), n, 10), '\n')
	}
	value("sluice_data_planes_connected", "gauge", "Data planes that are connected.", uint64(max(0, f.Connected))) //nolint:gosec // not negative
	const states = "sluice_data_planes"
	b = pdk.AppendMetric(b, states, "gauge", "Data planes that are listed, by state.")
	for _, state := range slices.Sorted(maps.Keys(f.States)) {
		b = pdk.AppendLabel(append(b, states+"{"...), "state", string(state))
		b = append(strconv.AppendInt(append(b, "} "...), int64(f.States[state]), 10), '\n')
	}
	value("sluice_config_refused_total", "counter", "Refusals of revisions by data planes.", f.Refused)
	const sent = "sluice_config_sent_total"
	b = pdk.AppendMetric(b, sent, "counter", "Configuration that was sent to a data plane, by how.")
	for _, plan := range slices.Sorted(maps.Keys(f.Sent)) {
		b = pdk.AppendLabel(append(b, sent+"{"...), "plan", plan)
		b = append(strconv.AppendUint(append(b, "} "...), f.Sent[plan], 10), '\n')
	}
	value("sluice_config_sent_bytes_total", "counter", "Bytes of configuration that were sent to data planes.", f.SentBytes)
	return b
}

// appendHistogram appends a histogram of times. counts are by bucket, those above all
// bounds last.
func appendHistogram(b []byte, name, help string, bounds []time.Duration, counts []uint64, sum time.Duration) []byte {
	b = pdk.AppendMetric(b, name, "histogram", help)
	total := uint64(0)
	for i, n := range counts {
		total += n
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i].Seconds(), 'g', -1, 64)
		}
		b = pdk.AppendLabel(append(append(b, name...), "_bucket{"...), "le", le)
		b = append(strconv.AppendUint(append(b, "} "...), total, 10), '\n')
	}
	b = append(strconv.AppendFloat(append(append(b, name...), "_sum "...), sum.Seconds(), 'g', -1, 64), '\n')
	return append(strconv.AppendUint(append(append(b, name...), "_count "...), total, 10), '\n')
}
