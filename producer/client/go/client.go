package fusionai

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Version of this client.
const Version = "0.1.0"

const (
	// DefaultBaseURL is that of a server on this machine, as "fusionai up" starts it.
	DefaultBaseURL = "http://127.0.0.1:8000/v1"
	// DefaultTimeout is that of a call that is not a stream.
	DefaultTimeout = 30 * time.Second
	// DefaultStreamTimeout is how long a stream may be silent.
	DefaultStreamTimeout = 120 * time.Second
	// transferTimeout is how long an upload or a download may stand still.
	transferTimeout = 120 * time.Second
)

// Client calls the API for one account. It may be used by several goroutines.
type Client struct {
	settings settings

	Chat       *ChatService
	Embeddings *EmbeddingsService
	Images     *ImagesService
	Models     *ModelsService
	Files      *FilesService
	Batches    *BatchesService
	Jobs       *JobsService
	Credits    *CreditsService
	Usage      *UsageService
	Webhooks   *WebhooksService
	Events     *EventsService
	Invoices   *InvoicesService
}

// settings are those of a client, or of one of its calls.
type settings struct {
	baseURL        string
	key            string
	http           *http.Client
	timeout        time.Duration
	streamTimeout  time.Duration
	retries        int
	header         http.Header
	idempotencyKey string
	pause          func(context.Context, time.Duration) error
}

// Option changes a client, given to [New], or one call.
type Option func(*settings)

// WithBaseURL names the server; the URL includes /v1. Without it: FUSIONAI_BASE_URL, else [DefaultBaseURL].
func WithBaseURL(address string) Option {
	return func(s *settings) { s.baseURL = strings.TrimRight(strings.TrimSpace(address), "/") }
}

// WithHTTPClient has the calls made by a client of yours: proxies, certificates. Its Timeout should be 0. Redirects are
// not followed, unless it has a CheckRedirect that says so.
func WithHTTPClient(client *http.Client) Option {
	return func(s *settings) {
		if client != nil {
			own := *client
			if own.CheckRedirect == nil {
				own.CheckRedirect = stay
			}
			s.http = &own
		}
	}
}

// WithTimeout limits each try of a call that is not a stream; 0: its context alone does.
func WithTimeout(limit time.Duration) Option {
	return func(s *settings) { s.timeout = limit }
}

// WithStreamTimeout limits the silence of a stream; the server fills pauses, so that only a lost one is silent. 0: its
// context alone does.
func WithStreamTimeout(limit time.Duration) Option {
	return func(s *settings) { s.streamTimeout = limit }
}

// WithRetries says how often a call is sent again; 0: never.
func WithRetries(most int) Option {
	return func(s *settings) { s.retries = most }
}

// WithHeader adds a header to requests.
func WithHeader(name, value string) Option {
	return func(s *settings) {
		s.header = s.header.Clone()
		if s.header == nil {
			s.header = http.Header{}
		}
		s.header.Set(name, value)
	}
}

// WithIdempotencyKey has a POST bought once however often the program sends it: the same key with the same body gets
// the first one's answer for at least a day. For one call, not for [New].
func WithIdempotencyKey(key string) Option {
	return func(s *settings) { s.idempotencyKey = key }
}

// New makes a client. The key is "fusionai_live_…" or "fusionai_test_…"; an empty one is taken from FUSIONAI_API_KEY.
func New(key string, options ...Option) *Client {
	if key == "" {
		key = os.Getenv("FUSIONAI_API_KEY")
	}
	base := os.Getenv("FUSIONAI_BASE_URL")
	if base == "" {
		base = DefaultBaseURL
	}
	client := &Client{settings: settings{
		baseURL:       strings.TrimRight(strings.TrimSpace(base), "/"),
		key:           strings.TrimSpace(key),
		timeout:       DefaultTimeout,
		streamTimeout: DefaultStreamTimeout,
		retries:       DefaultRetries,
		pause:         pause,
	}}
	for _, option := range options {
		option(&client.settings)
	}
	client.settings.idempotencyKey = ""
	if client.settings.http == nil {
		client.settings.http = newHTTPClient()
	}
	client.attach()
	return client
}

func (c *Client) attach() {
	c.Chat = &ChatService{c}
	c.Embeddings = &EmbeddingsService{c}
	c.Images = &ImagesService{c}
	c.Models = &ModelsService{c}
	c.Files = &FilesService{c}
	c.Batches = &BatchesService{c}
	c.Jobs = &JobsService{c}
	c.Credits = &CreditsService{c}
	c.Usage = &UsageService{c}
	c.Webhooks = &WebhooksService{c}
	c.Events = &EventsService{c}
	c.Invoices = &InvoicesService{c}
}

// String names the server and not the key, so that a client can be logged.
func (c Client) String() string {
	if c.settings.checkAddress() != nil {
		return "fusionai.Client"
	}
	return "fusionai.Client(" + c.settings.baseURL + ")"
}

// GoString is the same for %#v.
func (c Client) GoString() string { return c.String() }

// newHTTPClient follows no redirect, so that no other server is sent the key, nor what was asked.
func newHTTPClient() *http.Client {
	transport := http.DefaultTransport
	if usual, is := transport.(*http.Transport); is {
		own := usual.Clone()
		own.MaxIdleConnsPerHost = 16
		transport = own
	}
	return &http.Client{Transport: transport, CheckRedirect: stay}
}

// stay follows no redirect.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// check says what cannot be of a key and an address, without the key: errors end up in logs.
func (s settings) check() error {
	if s.key == "" {
		return errors.New("fusionai: no API key: give one to New, or set FUSIONAI_API_KEY")
	}
	if strings.IndexFunc(s.key, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return errors.New("fusionai: the API key has a character in it that no key has")
	}
	return s.checkAddress()
}

func (s settings) checkAddress() error {
	base, err := url.Parse(s.baseURL)
	switch {
	case err != nil:
		return errors.New("fusionai: the base URL is not a URL")
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return errors.New("fusionai: the base URL must be http:// or https://, a host and a path, as https://api.example.com/v1")
	case base.User != nil:
		return errors.New("fusionai: the base URL has credentials in it: the key alone is sent")
	case base.RawQuery != "" || base.Fragment != "":
		return errors.New("fusionai: the base URL must not have a query or a fragment")
	}
	return nil
}

func (c *Client) with(options []Option) settings {
	made := c.settings
	for _, option := range options {
		option(&made)
	}
	return made
}
