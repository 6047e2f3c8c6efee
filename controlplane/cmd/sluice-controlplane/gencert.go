package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// certificateRequest is what `hybrid gen_cert` is asked for.
type certificateRequest struct {
	cert, key string
	life      time.Duration
	keep      bool
}

// generate makes a certificate and its key, as `kong hybrid gen_cert` does.
func generate(args []string, out io.Writer) error {
	r, err := readCertificateRequest(args)
	if err != nil {
		return fmt.Errorf("hybrid gen_cert: %w", err)
	}
	if !r.keep || !isThere(r.cert) || !isThere(r.key) {
		certificate, private, err := tlsutil.Generate(tlsutil.Name, r.life, time.Now())
		if err != nil {
			return err
		}
		if err := tlsutil.WritePair(r.cert, r.key, certificate, private); err != nil {
			return fmt.Errorf("hybrid gen_cert: %w", err)
		}
	}
	for i, path := range []string{r.cert, r.key} {
		if full, err := filepath.Abs(path); err == nil {
			path = full
		}
		if _, err := fmt.Fprintf(out, "%s: %s\n", []string{"cluster_cert", "cluster_cert_key"}[i], path); err != nil {
			return err
		}
	}
	return nil
}

// readCertificateRequest takes Kong's -d DAYS, our --keep, both files or none, and the
// number of days as a third word.
func readCertificateRequest(args []string) (certificateRequest, error) {
	r := certificateRequest{cert: "cluster.crt", key: "cluster.key", life: tlsutil.DefaultLife}
	var words []string
	days := ""
	for i := 0; i < len(args); i++ {
		name, text, inline := strings.Cut(args[i], "=")
		switch {
		case name == "--keep" && !inline:
			r.keep = true
		case (name == "-d" || name == "--days") && inline:
			days = text
		case (name == "-d" || name == "--days") && i+1 < len(args):
			i++
			days = args[i]
		case strings.HasPrefix(name, "-"):
			return r, fmt.Errorf("unknown or incomplete flag %s", args[i])
		default:
			words = append(words, args[i])
		}
	}
	switch len(words) {
	case 0:
	case 3:
		days = words[2]
		fallthrough
	case 2:
		r.cert, r.key = words[0], words[1]
	default:
		return r, errors.New("give both files or none")
	}
	if days != "" {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > 36500 {
			return r, fmt.Errorf("%q is not a number of days from 1 to 36500", days)
		}
		r.life = time.Duration(n) * 24 * time.Hour
	}
	return r, nil
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
