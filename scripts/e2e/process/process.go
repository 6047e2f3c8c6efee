// Package process starts the programs that make run and the tests drive, and
// stops them without leaving one behind. It owns process groups, captured output,
// free ports and polling; it refuses to know what the programs are.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options say what to start.
type Options struct {
	// Name in errors.
	Name string
	// Path of the program and its arguments.
	Path string
	Args []string
	// Env is the whole environment, as in exec.Cmd; nil means Environ().
	Env []string
	// Output gets both streams as well, when not nil.
	Output io.Writer
}

// Process is a program that was started.
type Process struct {
	name string
	cmd  *exec.Cmd
	tail *tail
	done chan struct{}
}

// Start starts a program in a process group of its own, so that a Ctrl-C at the
// terminal does not reach it, and so that the system ends it when we are killed.
// A control plane has no manager unless the options say so: all of them would want one port.
func Start(o Options) (*Process, error) {
	p := &Process{name: o.Name, tail: &tail{}, done: make(chan struct{})}
	p.cmd = exec.Command(o.Path, o.Args...)
	p.cmd.Env = o.Env
	if o.Env == nil {
		p.cmd.Env = Environ()
	}
	if filepath.Base(o.Path) == "sluice-controlplane" && !mentions("admin_gui_listen", o.Args, p.cmd.Env) {
		p.cmd.Env = append(slices.Clip(p.cmd.Env), "SLUICE_ADMIN_GUI_LISTEN=off")
	}
	p.cmd.SysProcAttr = attributes()
	var out io.Writer = p.tail
	if o.Output != nil {
		out = io.MultiWriter(p.tail, o.Output)
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	// Do not wait for grandchildren that hold our pipe.
	p.cmd.WaitDelay = 2 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Name, err)
	}
	go func() {
		defer close(p.done)
		// Its error is the exit code, which ExitCode tells.
		_ = p.cmd.Wait()
	}()
	return p, nil
}

// mentions tells whether a setting is in one of the lists.
func mentions(setting string, lists ...[]string) bool {
	return slices.ContainsFunc(slices.Concat(lists...), func(s string) bool { return strings.Contains(strings.ToLower(s), setting) })
}

// Environ is the environment without settings of the gateway, so that those of
// whoever runs us do not reach the programs.
func Environ() []string {
	var out []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "SLUICE_") && !strings.HasPrefix(pair, "KONG_") {
			out = append(out, pair)
		}
	}
	return out
}

// PID of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode waits for the end; -1 means that a signal ended it.
func (p *Process) ExitCode() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// Output returns the last part of what the process wrote.
func (p *Process) Output() string { return p.tail.String() }

// Signal sends a signal; one that has ended takes none and gives no error.
func (p *Process) Signal(s syscall.Signal) error {
	err := p.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Kill ends the process and its children as a crash does, and waits.
func (p *Process) Kill() {
	select {
	case <-p.done:
		// Its number may belong to another group by now.
	default:
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	}
	<-p.done
}

// Stop asks with SIGTERM and waits; after the timeout it kills and returns an
// error, as it does when the exit code is not 0.
func (p *Process) Stop(timeout time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("stop %s: still running %v after SIGTERM", p.name, timeout)
	}
	if code := p.ExitCode(); code != 0 {
		return fmt.Errorf("stop %s: exit code %d", p.name, code)
	}
	return nil
}

// Poll calls check every few milliseconds until it returns nil, and returns its
// last error when ctx ends before that or a process given has ended.
func Poll(ctx context.Context, check func() error, alive ...*Process) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		for _, p := range alive {
			select {
			case <-p.done:
				return fmt.Errorf("%s ended with exit code %d: %w\n%s", p.name, p.ExitCode(), err, p.Output())
			default:
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return err
		}
	}
}

// tail keeps the last part of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const keptOutput = 256 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - keptOutput; over > keptOutput {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
