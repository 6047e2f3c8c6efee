package ratelimiting

import "github.com/sluice-gateway/sluice/shared/pdk/calendar"

// Words for the calendar that this package uses all over.
type (
	period  = calendar.Period
	windows = calendar.Windows
)

const (
	minute      = calendar.Minute
	month       = calendar.Month
	periodCount = calendar.Count
)

var periods = &calendar.Periods
