package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"time"
)

// nginxHead is what both nginx need to run in the foreground in a folder of their
// own.
const nginxHead = `
daemon off;
worker_processes WORKERS;
pid NAME.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path NAME-body;
  proxy_temp_path NAME-proxy;
  fastcgi_temp_path NAME-fastcgi;
  uwsgi_temp_path NAME-uwsgi;
  scgi_temp_path NAME-scgi;
  keepalive_requests 1000000000;
  tcp_nodelay on;
`

func nginxConf(name, workers, rest string) string {
	return strings.NewReplacer("NAME", name, "WORKERS", workers).Replace(nginxHead) + rest + "}\n"
}

func (s *stack) upstreamConf() string {
	return nginxConf("upstream", "1", `
  server {
    listen `+s.upstream+` backlog=4096;
    location / {
      default_type text/plain;
      return 200 "`+s.answer+`";
    }
  }
`)
}

// nginxConf is the baseline: two workers, a pool of kept connections, and the six
// headers that a gateway sets.
func (s *stack) nginxConf() string {
	return nginxConf("nginx", "2", `
  upstream backend {
    server `+s.upstream+`;
    keepalive 128;
    keepalive_requests 1000000000;
  }
  server {
    listen `+s.clear[nginx]+` backlog=4096 reuseport;
    listen `+s.secure[nginx]+` ssl backlog=4096 reuseport;
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
`+s.nginxFlows()+`    location / {
      proxy_pass http://backend/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Forwarded-Prefix /;
    }
  }
`+s.nginxRPC())
}

func (s *stack) haproxyConf() string {
	return `
global
  nbthread 2
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend front
  bind ` + s.clear[haproxy] + `
  option forwardfor
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Prefix /
  default_backend back
backend back
  server upstream ` + s.upstream + ` pool-max-conn 128
`
}

// selfSigned makes a certificate of the kind that Sluice makes for itself, so that
// both sides of the HTTPS cases do the same arithmetic.
func selfSigned() (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return "", "", err
	}
	private8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private8}))
	return cert, key, nil
}
