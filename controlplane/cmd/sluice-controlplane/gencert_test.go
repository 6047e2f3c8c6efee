package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestGenerate(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "a.crt"), filepath.Join(dir, "a.key")
	var out bytes.Buffer
	if err := run([]string{"kong", "hybrid", "gen_cert", "-d", "10", cert, key}, &out, nil); err != nil {
		t.Fatal(err)
	}
	if want := "cluster_cert: " + cert + "\ncluster_cert_key: " + key + "\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(leaf.NotAfter); left < 9*24*time.Hour || left > 11*24*time.Hour {
		t.Errorf("it lives %v, want ten days", left)
	}
	before, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"hybrid", "gen_cert", cert, key}, &out, nil); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("without --keep: %v", err)
	}
	if err := run([]string{"hybrid", "gen_cert", "--keep", cert, key}, &out, nil); err != nil {
		t.Errorf("with --keep: %v", err)
	}
	if after, err := os.ReadFile(key); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the key was replaced (%v)", err)
	}
	// One of both is a mistake that --keep must not hide.
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"hybrid", "gen_cert", "--keep", cert, key}, &out, nil); err == nil {
		t.Error("a key without its certificate was taken")
	}
}

func TestGenerateRefuses(t *testing.T) {
	for _, args := range []string{"one", "a b c d", "a b x", "a b 0", "-d", "-d=x a b", "-d -5 a b", "--force a b", "--keep=1 a b", "-d 99999 a b"} {
		dir := t.TempDir()
		t.Chdir(dir)
		if err := generate(strings.Fields(args), &bytes.Buffer{}); err == nil {
			t.Errorf("gen_cert %s is done", args)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("gen_cert %s left %v (%v)", args, left, err)
		}
	}
}
