package lifecycle

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// HTTP makes an actor of a server on a listener: its stop lets requests end while there
// is time, and closes what is left.
func HTTP(name string, s *http.Server, l net.Listener) Actor {
	return Actor{
		Name: name,
		Execute: func() error {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
		Interrupt: func(ctx context.Context) {
			if s.Shutdown(ctx) != nil {
				_ = s.Close()
			}
		},
	}
}
