package pdk

import (
	"crypto/x509"
	"net/netip"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
)

// View finds entities in the plan that an exchange runs under. It is immutable
// and safe for concurrent use. Results are pointers to the entity's typed struct
// and must not be changed.
type View interface {
	// ByID returns the entity with that primary key, or nil.
	ByID(def *entity.Def, id string) any
	// ByKey returns the entity whose field, one that is declared unique in the
	// schema or listed in Def.Indexes, has that value, or nil.
	ByKey(def *entity.Def, field, value string) any
	// ByForeign returns the entities of a kind whose foreign field refers to id,
	// in the order of their ids.
	ByForeign(def *entity.Def, field, id string) []any
	// ConsumerGroups returns the groups that a consumer is in, in the order of their
	// names, nil for none.
	ConsumerGroups(consumer string) []*entity.ConsumerGroup
}

// Exchange is one request and its response.
type Exchange struct {
	// Request as the client sent it; what plugins change is what the upstream gets.
	Request Request
	// Upstream says where and how the request is sent on. Set after routing.
	Upstream Upstream
	// Response as it will go to the client.
	Response Response

	// Route and Service matched; nil when none did, or the route has no service.
	Route   *entity.Route
	Service *entity.Service

	// Consumer and Credential are set by Authenticate.
	Consumer   *entity.Consumer
	Credential Credential
	// ConsumerGroups are the groups that Consumer is in, in the order of their names.
	ConsumerGroups []*entity.ConsumerGroup
	// Groups that an authentication plugin found by itself, such as a directory's.
	Groups []string

	// Captures of the route's regex path: Names is parallel to Values, "" for
	// positional groups. Values[0] is the whole match.
	Captures Captures
	// MatchedPrefix is the part of the path that strip_path removes.
	MatchedPrefix string

	// View of the plan that the exchange runs under: of the workspace of Route, and before
	// there is one of the default workspace.
	View View
	// Errors replace the bodies of the gateway's own errors; nil replaces none.
	Errors *ErrorTemplates
	// Workspace is the id of the workspace of Route, "" for the default one, and
	// WorkspaceName its name.
	Workspace, WorkspaceName string

	// ID is the X-Kong-Request-Id: 32 hex digits.
	ID string

	// Revision of the configuration that the exchange runs under, 0 for none.
	Revision uint64

	// Start is when the first byte of the request was read; the other times are
	// zero until they happen.
	Start         time.Time
	AccessDone    time.Time // access phases done
	UpstreamSent  time.Time // last try started
	UpstreamFirst time.Time // response head received from the upstream
	Done          time.Time // last byte sent

	// Tries of the balancer, in order.
	Tries []Try
	// Source says who made the response.
	Source Source

	// HashCookie is the value that the balancer hands out to hash on, and HashCookieLine
	// the Set-Cookie line that tells the client; "" when there is none.
	HashCookie, HashCookieLine string

	// Trace is what tracing plugins know of the exchange.
	Trace Trace

	// Retry replaces the service's retries for this exchange; nil keeps them.
	Retry *RetryPolicy

	// Text makes strings that live as long as the exchange, without allocation.
	Text Text

	// Kept is what the host keeps from exchange to exchange, where it uses one again.
	Kept any

	// Script is what functions in Lua keep of the exchange, see shared/lua/kit.
	Script any

	exited     bool
	logEdits   []LogEdit
	onConsumer func(x *Exchange)
	slots      []any
	releasers  []Releaser
}

// Source says who made a response.
type Source uint8

// Sources of a response.
const (
	SourceNone     Source = iota
	SourceExit            // a plugin's Exit
	SourceError           // the gateway itself
	SourceUpstream        // the service, or a cache in its place
)

// Credential is what a consumer authenticated with. The zero value means none.
type Credential struct {
	// ID of the credential entity; ConsumerID is its owner.
	ID, ConsumerID string
	// Key goes upstream as X-Credential-Identifier: the username, key id, ...
	Key string
}

// Try is one attempt at a target.
type Try struct {
	// Address is ip:port; Host is the name that it came from.
	Address string
	Host    string
	// Start is when a target was chosen.
	Start time.Time
	// Latency is the time that the choice of a target took.
	Latency time.Duration
	// Err is "" for success, else connect, timeout, write, read or status.
	Err  string
	Code int
}

// Captures are the groups of a regex path.
type Captures struct {
	Names  []string
	Values []string
}

// ByName returns the value of a named group, or "".
func (c *Captures) ByName(name string) string {
	for i, n := range c.Names {
		if n == name && i < len(c.Values) {
			return c.Values[i]
		}
	}
	return ""
}

// Request is what the client sent.
type Request struct {
	// Method in the case that the client used.
	Method string
	// Scheme of the client's connection, http or https; ForwardedScheme and the
	// like are in Exchange.Forwarded.
	Scheme string
	// Host is the Host header or :authority, with port, as sent.
	Host string
	// RawPath is the path as sent, without query. Path is normalised: unreserved
	// characters decoded, dot segments and double slashes merged.
	RawPath, Path string
	// RawQuery is what follows the first "?", without it. HasQuery tells "/p?" from "/p".
	RawQuery string
	HasQuery bool
	// Proto is 10, 11 or 20.
	Proto int
	// WebSocket is true for an HTTP/2 stream that opens a WebSocket (RFC 8441). It looks
	// like the upgrade of a GET, as it would in HTTP/1.1.
	WebSocket bool
	// SNI of the TLS connection, or "".
	SNI string
	// TLSVersion and TLSCipher are crypto/tls's numbers, 0 without TLS.
	TLSVersion, TLSCipher uint16
	// ClientChain is the certificate of the client and those it sent with it, nil for none;
	// ClientVerified is true when a trusted authority has signed it.
	ClientChain    []*x509.Certificate
	ClientVerified bool

	// Header without Host.
	Header Header
	// Logged is the header as the access phases left it, before the gateway adds what
	// tells the upstream about the client. It is filled when a Log phase will run.
	Logged Header
	// Bytes is the size of the request as it came: head and body.
	Bytes int64

	// ContentLength is -1 when unknown (chunked), 0 when there is no body.
	ContentLength int64
	// Body reads the body; nil when there is none.
	Body Body
	// Buffered is the whole body once BufferBody has read it or SetBody has set it;
	// Body is then nil and ContentLength the length.
	Buffered []byte
	// Trailer that came after a chunked or HTTP/2 body; complete once Body has
	// returned io.EOF.
	Trailer Header

	// Peer is the other end of the connection, Client the client after trusted
	// proxies were taken off, Local our end.
	Peer, Client, Local netip.AddrPort
	// Trusted is true when the peer is in trusted_ips.
	Trusted bool

	// ForwardedProto, ForwardedHost, ForwardedPort: what the client asked for, as a
	// trusted proxy says or else as seen here.
	ForwardedProto, ForwardedHost string
	ForwardedPort                 int
}

// Body is a request or response body. It is read by one goroutine.
type Body interface {
	// Read follows io.Reader. A timeout or reset is an error other than io.EOF.
	Read(p []byte) (int, error)
}

// Upstream says how the request is sent on.
type Upstream struct {
	// Scheme is http, https, grpc or grpcs.
	Scheme string
	// Host and Port to choose a target for: an upstream's name, a DNS name or an IP.
	Host string
	Port int
	// HostHeader that the target gets; "" lets the balancer choose.
	HostHeader string
	// Method, Path (already escaped, with a leading "/"), RawQuery and HasQuery of the request line.
	Method   string
	Path     string
	RawQuery string
	HasQuery bool
	// ConnectTimeout, WriteTimeout and ReadTimeout take the place of the service's; 0
	// leaves them. Retries does when HasRetries is set.
	ConnectTimeout, WriteTimeout, ReadTimeout time.Duration
	Retries                                   int
	HasRetries                                bool
	// BufferResponse, set before the upstream is called, has the whole response body in
	// Response.Buffered before HeaderFilter runs. It is reset when that can not be: for gRPC
	// and for bodies of more than MaxBufferedResponse bytes, which are streamed.
	BufferResponse bool
}

// MaxBufferedResponse is the most bytes of a response that are held for BufferResponse.
const MaxBufferedResponse = 16 << 20

// Response is what the client gets.
type Response struct {
	Status int
	Header Header
	// ContentLength is -1 when unknown.
	ContentLength int64
	// Body streams the body; nil when Buffered is the body.
	Body Body
	// Buffered is the body of an Exit or of a buffered upstream response.
	Buffered []byte
	// Trailer that follows the body; an upstream's is complete once Body has
	// returned io.EOF.
	Trailer Header
	// UpstreamStatus is the status that the upstream sent, 0 when it was not called.
	UpstreamStatus int
	// Reason is the upstream's reason phrase. It is sent while Status is
	// UpstreamStatus; other statuses get the standard phrase.
	Reason string
	// Sent is the number of body bytes written to the client, HeadSent whether the
	// head was.
	Sent     int64
	HeadSent bool
	// Bytes is the size of the response as it was written: head, body and framing.
	Bytes int64
	// KeepAlive tells whether the client's connection goes on. Set when the head is sent.
	KeepAlive bool
}

// Slot returns the place for per-exchange state that Env.Slot reserved. It is nil
// at the start of each exchange.
func (x *Exchange) Slot(i int) *any {
	for len(x.slots) <= i {
		x.slots = append(x.slots, nil)
	}
	return &x.slots[i]
}

// Exited tells whether a plugin has ended the exchange.
func (x *Exchange) Exited() bool { return x.exited }

// Authenticate sets the consumer and credential, and lets the host choose the
// plugins for that consumer. A nil consumer with a credential is allowed.
func (x *Exchange) Authenticate(consumer *entity.Consumer, credential Credential) {
	x.Consumer, x.Credential, x.ConsumerGroups = consumer, credential, nil
	if consumer != nil && x.View != nil {
		x.ConsumerGroups = x.View.ConsumerGroups(consumer.ID)
	}
	if x.onConsumer != nil {
		x.onConsumer(x)
	}
}
