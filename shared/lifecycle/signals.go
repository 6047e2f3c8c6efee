package lifecycle

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Signals returns a context that ends, with an ErrSignal as its cause, at the first
// SIGTERM or SIGINT. A second one exits the process by the signal's default action,
// for people who do not want to wait. SIGHUP calls reload, one call at a time; nil
// ignores it, because a terminal that closes must not stop a gateway. The function
// returned ends the handling and waits for it.
func Signals(parent context.Context, reload func()) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	received := make(chan os.Signal, 8)
	signal.Notify(received, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case s := <-received:
				if s == syscall.SIGHUP {
					if reload != nil {
						reload()
					}
					continue
				}
				signal.Reset(syscall.SIGTERM, syscall.SIGINT)
				cancel(ErrSignal{Signal: s})
			}
		}
	}()
	stop := func() {
		signal.Stop(received)
		close(end)
		<-ended
		cancel(context.Canceled)
	}
	return ctx, stop
}
