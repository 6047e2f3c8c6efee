package tlsutil_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

var line = tlsutil.JoinLine{
	TokenID: "7e636f08fa8cb508", Secret: "C81b15Ayz_3HUltYbqs8ehzbgauHkAaaLp7DqElHRrU", Pin: tlsutil.Pin{1, 2, 3}, Address: "cp.example:8005",
}

func TestJoinLine(t *testing.T) {
	for _, address := range []string{"cp.example:8005", "10.0.0.1:1", "[::1]:65535"} {
		want := line
		want.Address = address
		if got, err := tlsutil.ParseJoinLine(" " + want.String() + "\n"); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", want, got, err)
		}
	}
	good := line.String()
	for name, text := range map[string]string{
		"empty": "", "no address": line.Token(), "no host": line.Token() + "@:8005", "no port": line.Token() + "@cp", "port 0": line.Token() + "@cp:0",
		"two addresses": good + "@cp:1", "path": line.Token() + "@cp/x:80", "other mark": strings.Replace(good, "sluicejoin", "join", 1),
		"short id": strings.Replace(good, "7e636f08", "7e636f0", 1), "capital id": strings.Replace(good, "7e636f08", "7E636f08", 1),
		"cut secret": strings.Replace(good, "C81b15", "C81b1", 1), "strange secret": strings.Replace(good, "C81b15", "C8!b15", 1),
		"cut hash": strings.Replace(good, ".AQID", ".AQI", 1), "another part": strings.Replace(good, "@", ".x@", 1), "endless": good + strings.Repeat("0", 1000),
	} {
		got, err := tlsutil.ParseJoinLine(text)
		if err == nil || got != (tlsutil.JoinLine{}) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "5Ayz_3HUltYbqs8ehzbgauHkAaaLp7DqElHRrU") {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
}

func FuzzParseJoinLine(f *testing.F) {
	f.Add(line.String())
	f.Add("sluicejoin....@a:1")
	f.Add("@")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := tlsutil.ParseJoinLine(text)
		if err != nil {
			return
		}
		if again, err := tlsutil.ParseJoinLine(got.String()); err != nil || again != got {
			t.Errorf("%q is read as %+v, and that as %+v, %v", text, got, again, err)
		}
	})
}

func TestNodeOf(t *testing.T) {
	const id = "0b9a3ad0-5f1c-4c2b-8a53-8d6c0f8f4c11"
	parse := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	if got, epoch, ok := tlsutil.NodeOf(&x509.Certificate{URIs: []*url.URL{tlsutil.NodeURI(id, 7)}}); !ok || got != id || epoch != 7 {
		t.Errorf("got %q %d %v", got, epoch, ok)
	}
	good := "sluice://node/" + id + "/1"
	for _, uris := range [][]string{
		nil,
		{good, good},
		{"https://node/" + id + "/1"},
		{"sluice://other/" + id + "/1"},
		{"sluice://node/x/1"},
		{"sluice://node/" + id},
		{good + "/2"},
		{"sluice://node/" + id + "/-1"},
		{"sluice://node/../" + id + "/1"},
	} {
		c := &x509.Certificate{}
		for _, u := range uris {
			c.URIs = append(c.URIs, parse(u))
		}
		if got, _, ok := tlsutil.NodeOf(c); ok {
			t.Errorf("%q is the node %q", uris, got)
		}
	}
}

// issuer is an authority that signs what it is told to.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T, until time.Time) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return (&issuer{t: t, key: key}).again(until)
}

// again makes the authority's certificate with the same key.
func (i *issuer) again(until time.Time) *issuer {
	i.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().AddDate(-20, 0, 0), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, i.key.Public(), i.key)
	if err != nil {
		i.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		i.t.Fatal(err)
	}
	return &issuer{i.t, cert, i.key}
}

func (i *issuer) issue(usage x509.ExtKeyUsage, from, until time.Time) tls.Certificate {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{usage}}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, key.Public(), i.key)
	if err != nil {
		i.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, i.cert.Raw}, PrivateKey: key}
}

// What a node believes that pins an authority's key.
func TestPin(t *testing.T) {
	now := time.Now()
	later, past := now.Add(time.Hour), now.AddDate(-3, 0, 0)
	ours, other := newIssuer(t, later), newIssuer(t, later)
	pin := tlsutil.PinOf(ours.cert)
	if got, err := tlsutil.ParsePin(pin.String()); err != nil || got != pin {
		t.Errorf("the pin is read as %v, %v", got, err)
	}
	name := pin.ServerName()
	if label, _, _ := strings.Cut(name, "."); len(label) > 63 || !tlsutil.IsJoined(name) || tlsutil.IsJoined(tlsutil.Name) {
		t.Errorf("the server name is %s", name)
	}
	server := func(c tls.Certificate) *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c}, ClientAuth: tls.RequestClientCert}
	}
	alone := ours.issue(x509.ExtKeyUsageServerAuth, past, later)
	alone.Certificate = alone.Certificate[:1]
	forged := other.issue(x509.ExtKeyUsageServerAuth, past, later)
	forged.Certificate[1] = ours.cert.Raw // claims to be of ours
	for _, test := range []struct {
		name  string
		shown tls.Certificate
		good  bool
	}{
		{"ours", ours.issue(x509.ExtKeyUsageServerAuth, past, later), true},
		{"expired for years", ours.issue(x509.ExtKeyUsageServerAuth, past, past.Add(time.Hour)), true},
		{"valid in years only", ours.issue(x509.ExtKeyUsageServerAuth, later.AddDate(5, 0, 0), later.AddDate(6, 0, 0)), true},
		{"an expired authority", ours.again(past).issue(x509.ExtKeyUsageServerAuth, past, later), true},
		{"another authority", other.issue(x509.ExtKeyUsageServerAuth, past, later), false},
		{"another authority that shows ours", forged, false},
		{"without the authority", alone, false},
		{"a node's certificate", ours.issue(x509.ExtKeyUsageClientAuth, past, later), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := handshake(t, server(test.shown), pin.Client(func() *tls.Certificate { return nil }))
			if test.good && err != nil || !test.good && !errors.Is(err, tlsutil.ErrPin) {
				t.Errorf("client: %v, want good %v", err, test.good)
			}
		})
	}
	mine := ours.issue(x509.ExtKeyUsageClientAuth, past, later)
	old := server(ours.issue(x509.ExtKeyUsageServerAuth, past, later))
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, err := handshake(t, old, pin.Client(func() *tls.Certificate { return &mine })); err == nil {
		t.Error("TLS 1.2: the client accepts it")
	}
}
