package admin

import (
	"context"
	"net/http"
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
	timeout := defaultLevelTime
	seconds, given := in["timeout"], in["timeout"] != nil
	if given {
		var n float64
		switch v := seconds.(type) {
		case int64:
			n = float64(v)
		case float64:
			n = v
		default:
			n = -1
		}
		if n < 0 || n > longestLevelTime.Seconds() {
			return answer{}, refuse(http.StatusBadRequest, "timeout must be a number of seconds from 0 to 86400")
		}
		timeout = time.Duration(n * float64(time.Second))
	}
	level := c.values[0]
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
