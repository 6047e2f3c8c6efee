package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/shared/settings"
)

// askTimeout bounds one question to the program that runs.
const askTimeout = 5 * time.Second

// Health asks the program that runs with the same settings whether it is ready, and prints
// its answer. Without a status_listen it is content when the first of the other listeners
// takes a connection.
func Health(ctx context.Context, status, other []settings.Listener, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if len(status) == 0 {
		if len(other) == 0 {
			return errors.New("health: no address listens that could be asked")
		}
		conn, err := dial(ctx, other[0])
		if err != nil {
			return fmt.Errorf("health: %w", err)
		}
		_, err = fmt.Fprintf(out, "%s takes connections; status_listen is off\n", other[0].Address)
		return errors.Join(err, conn.Close())
	}
	code, body, err := ask(ctx, status[0], http.MethodGet, nil)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	if code != http.StatusOK {
		return fmt.Errorf("health: %d: %s", code, body)
	}
	_, err = fmt.Fprintln(out, body)
	return err
}

// defaultDrain is how long Drain waits when it is not told.
const defaultDrain = 5 * time.Second

// Drain turns the readiness of the node that runs with the same settings off, for good,
// and waits until load balancers have noticed: it is what a container runs before it is
// stopped. args is empty or a number of seconds, at most an hour.
func Drain(ctx context.Context, args []string, status []settings.Listener, out io.Writer) error {
	wait := defaultDrain
	switch len(args) {
	case 0:
	case 1:
		seconds, err := strconv.ParseFloat(args[0], 64)
		if err != nil || !(seconds >= 0 && seconds <= 3600) {
			return fmt.Errorf("drain: %q is not a number of seconds from 0 to 3600", args[0])
		}
		wait = time.Duration(seconds * float64(time.Second))
	default:
		return errors.New("drain: want at most a number of seconds")
	}
	if len(status) == 0 {
		return errors.New("drain: status_listen is off")
	}
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	code, body, err := ask(asking, status[0], http.MethodPost, url.Values{"status": {"draining"}})
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	if code != http.StatusNoContent {
		return fmt.Errorf("drain: %d: %s", code, body)
	}
	if _, err := fmt.Fprintf(out, "not ready from now on; waiting %v\n", wait); err != nil {
		return err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask asks for /status/ready.
func ask(ctx context.Context, l settings.Listener, method string, form url.Values) (code int, body string, err error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, l) },
		// The certificate is for the names that clients use, and we ask ourselves.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as said above
	}}
	scheme := "http"
	if l.TLS {
		scheme = "https"
	}
	request, err := http.NewRequestWithContext(ctx, method, scheme+"://localhost/status/ready", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	return response.StatusCode, strings.TrimSpace(string(b)), err
}

// dial connects to a listener of this machine; the wildcard address reaches it as well.
func dial(ctx context.Context, l settings.Listener) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, l.Network, l.Address)
}
