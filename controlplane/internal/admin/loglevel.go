package admin

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/shared/schema"
)

const (
	// defaultLevelTime is how long a level lasts that was asked for without a timeout.
	defaultLevelTime = time.Minute
	longestLevelTime = 24 * time.Hour
	// commandTime bounds how long nodes have to answer a command.
	commandTime = 10 * time.Second
)

// CommandLogLevel is the command by which nodes change what they log for a while. Its
// target is TargetNode, its arguments are LogLevelArguments.
const CommandLogLevel = "log-level"

// TargetNode is the target of commands that are for the node itself, not for a plugin.
const TargetNode = ""

// LogLevelArguments are those of CommandLogLevel. A timeout of 0 means for good.
type LogLevelArguments struct {
	Level   string  `json:"level"`
	Seconds float64 `json:"seconds"`
}

// levelForm types the body of a request for another level.
var levelForm = &schema.Schema{Name: "log-level", Fields: []schema.Field{{Name: "timeout", Type: schema.Number}}}

func (a *API) addLogLevel() {
	if a.o.LogLevel == nil {
		return
	}
	a.table.get("/debug/node/log-level", func(*call) (answer, error) {
		return message(http.StatusOK, "log level: "+a.o.LogLevel.Get()), nil
	})
	own := map[string]handler{http.MethodPut: func(c *call) (answer, error) { return a.setLevel(c, false) }}
	a.table.add("/debug/node/log-level/{log_level}", own)
	a.table.add("/debug/cluster/control-planes-nodes/log-level/{log_level}", own)
	a.table.add("/debug/cluster/log-level/{log_level}", map[string]handler{
		http.MethodPut: func(c *call) (answer, error) { return a.setLevel(c, true) },
	})
}

func (a *API) setLevel(c *call, everywhere bool) (answer, error) {
	in, err := c.decode(levelForm, nil)
	if err != nil {
		return answer{}, err
	}
	level := c.values[0]
	if !slices.Contains(levels, level) {
		return answer{}, refuse(http.StatusBadRequest, "unknown log level: "+level)
	}
	timeout, err := levelTime(in, c.r.URL.Query())
	if err != nil {
		return answer{}, err
	}
	if a.o.LogLevel.Get() == level && !everywhere {
		return message(http.StatusOK, "log level is already "+level), nil
	}
	if err := a.changeLevel(level, timeout); err != nil {
		return answer{}, refuse(http.StatusBadRequest, "unknown log level: "+level)
	}
	body := schema.Object{"message": "log level changed"}
	if everywhere {
		ctx, cancel := context.WithTimeout(c.ctx, commandTime)
		defer cancel()
		failed := schema.Object{}
		for _, reply := range a.o.Fleet.Broadcast(ctx, TargetNode, CommandLogLevel, LogLevelArguments{level, timeout.Seconds()}) {
			if reply.Err != nil {
				failed[reply.NodeID] = reply.Err.Error()
			}
		}
		if len(failed) > 0 {
			body["failed"] = failed
		}
	}
	return ok(body)
}

// levels are the names that Kong knows.
var levels = []string{"debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"}

// levelTime reads for how many seconds a level is asked for, in the body or the query.
// What is no number stands for the default.
func levelTime(in schema.Object, query url.Values) (time.Duration, error) {
	given := in["timeout"]
	if given == nil && query.Has("timeout") {
		given = query.Get("timeout")
	}
	seconds, err := strconv.ParseFloat(fmt.Sprint(given), 64)
	switch {
	case given == nil || err != nil || math.IsNaN(seconds):
		return defaultLevelTime, nil
	case seconds < 0:
		return 0, refuse(http.StatusBadRequest, "timeout must be greater than or equal to 0")
	case seconds > longestLevelTime.Seconds():
		return 0, refuse(http.StatusBadRequest, "timeout must be at most 86400")
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// changeLevel sets a level. After the timeout, unless it is 0, the one before any
// temporary change counts again.
func (a *API) changeLevel(level string, timeout time.Duration) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.o.LogLevel.Get()
	if err := a.o.LogLevel.Set(level); err != nil {
		return err //nolint:wrapcheck // the caller has the words
	}
	if a.revert != nil {
		a.revert.Stop()
		a.revert = nil
	} else {
		a.normal = before
	}
	if timeout == 0 || a.closed {
		a.normal = level
		return nil
	}
	var timer *time.Timer
	timer = time.AfterFunc(timeout, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.revert == timer {
			a.restoreLevelLocked()
		}
	})
	a.revert = timer
	return nil
}

func (a *API) restoreLevelLocked() {
	if a.revert == nil {
		return
	}
	a.revert.Stop()
	a.revert = nil
	if err := a.o.LogLevel.Set(a.normal); err != nil {
		a.log.Warn("log level stays", "level", a.normal, "error", err)
	}
}
