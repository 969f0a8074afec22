package fusionai

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// mostError is how many bytes of an error's body are read.
const mostError = 1 << 20

// request is one call; each of its tries is made of it anew.
type request struct {
	method string
	path   string
	query  url.Values
	// body opens the body of a try, and says how long it is; nil: there is none.
	body        func() (io.Reader, int64, error)
	contentType string
	header      http.Header
	// waits: the answer is that of a job, and the server is told how long it is waited for.
	waits bool
	// limit is the silence that a stream or a transfer may have, where idles; else all of it is over within the timeout.
	limit time.Duration
	idles bool
	// opens: the caller reads the body, and closes it.
	opens bool
	// streams: the answer is to be server-sent events.
	streams bool
}

// answer is a success: with its whole body, or with one that is still to be read.
type answer struct {
	status int
	header http.Header
	data   []byte
	stream io.ReadCloser
}

// Meta is what the headers of an answer tell.
type Meta struct {
	// RequestID identifies the request; include it when you contact support.
	RequestID string
	// JobID is the job behind the answer.
	JobID string
	// CreditsUsed is what the call cost.
	CreditsUsed Amount
	// Replayed: this is the answer of an earlier request with the same Idempotency-Key.
	Replayed bool
	// Header has all of them.
	Header http.Header
}

func metaOf(header http.Header) Meta {
	used, _ := plainDecimal(header.Get("FusionAI-Credits-Used"))
	return Meta{
		RequestID:   header.Get("X-Request-Id"),
		JobID:       header.Get("FusionAI-Job-Id"),
		CreditsUsed: Amount(used),
		Replayed:    header.Get("Idempotent-Replayed") == "true",
		Header:      header,
	}
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any, options []Option) error {
	_, err := c.do(ctx, request{method: http.MethodGet, path: path, query: query}, out, options)
	return err
}

func (c *Client) post(ctx context.Context, path string, body, out any, options []Option) error {
	_, err := c.sendJSON(ctx, request{method: http.MethodPost, path: path}, body, out, options)
	return err
}

// sendJSON makes a call with a JSON body; nil: an empty object.
func (c *Client) sendJSON(ctx context.Context, r request, body, out any, options []Option) (Meta, error) {
	if body == nil {
		body = struct{}{}
	}
	data, err := json.Marshal(body)
	if err != nil {
		return Meta{}, err
	}
	r.body, r.contentType = fixed(data), "application/json"
	return c.do(ctx, r, out, options)
}

// do makes a call, and reads the JSON of its answer into out, unless that is nil.
func (c *Client) do(ctx context.Context, r request, out any, options []Option) (Meta, error) {
	got, err := c.send(ctx, c.with(options), r)
	if err != nil {
		return Meta{}, err
	}
	if out != nil {
		if err := decode(got, out); err != nil {
			return Meta{}, err
		}
	}
	return metaOf(got.header), nil
}

// decode reads the JSON object of an answer.
func decode(got *answer, out any) error {
	if !bytes.HasPrefix(bytes.TrimSpace(got.data), []byte("{")) {
		return unexpected(got, "the server does not answer like the FusionAI API", nil)
	}
	if err := json.Unmarshal(got.data, out); err != nil {
		return unexpected(got, "the server does not answer like the FusionAI API", err)
	}
	return nil
}

func fixed(data []byte) func() (io.Reader, int64, error) {
	return func() (io.Reader, int64, error) { return bytes.NewReader(data), int64(len(data)), nil }
}

// send makes a call, and makes it again as often as that is sensible. All tries of a POST have the same key.
func (c *Client) send(ctx context.Context, s settings, r request) (*answer, error) {
	if r.method == http.MethodPost && s.idempotencyKey == "" {
		s.idempotencyKey = newKey()
	}
	for tried := 0; ; tried++ {
		got, err := s.once(ctx, r)
		if err == nil {
			return got, nil
		}
		var failure *Error
		if !errors.As(err, &failure) || !failure.again || tried >= s.retries || failure.RetryAfter > longestAsked {
			return nil, err
		}
		wait := pauseBefore(tried, failure.RetryAfter, chance())
		if at, limited := ctx.Deadline(); limited && time.Now().Add(wait).After(at) {
			return nil, err
		}
		if err := s.pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// once is one try.
func (s settings) once(ctx context.Context, r request) (*answer, error) {
	limit := s.timeout
	if r.idles {
		limit = r.limit
	}
	watch, within := newWatch(ctx, limit)
	made, err := s.build(within, r, watch)
	if err != nil {
		watch.stop()
		return nil, err
	}
	response, err := s.http.Do(made)
	if err != nil {
		watch.stop()
		return nil, s.lost(ctx, watch, err)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		defer watch.stop()
		defer response.Body.Close()
		data, _ := io.ReadAll(io.LimitReader(response.Body, mostError))
		return nil, refusal(response.StatusCode, response.Header, data, time.Now())
	}
	got := &answer{status: response.StatusCode, header: response.Header}
	body := &watchedBody{response.Body, watch, r.idles, func(err error) error { return s.lost(ctx, watch, err) }}
	if r.opens {
		got.stream = body
		return got, nil
	}
	defer body.Close()
	got.data, err = io.ReadAll(body)
	return got, err
}

func (s settings) build(ctx context.Context, r request, watch *watch) (*http.Request, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	target := s.baseURL + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	made, err := http.NewRequestWithContext(ctx, r.method, target, nil)
	if err != nil {
		return nil, err
	}
	if r.body != nil {
		content, length, err := r.body()
		if err != nil {
			return nil, err
		}
		if r.idles {
			content = &watchedReader{content, watch}
		}
		made.Body, made.ContentLength = io.NopCloser(content), length
		made.Header.Set("Content-Type", r.contentType)
	}
	made.Header.Set("Authorization", "Bearer "+s.key)
	made.Header.Set("User-Agent", "fusionai-go/"+Version)
	made.Header.Set("Accept", "application/json")
	if r.method == http.MethodPost {
		made.Header.Set("Idempotency-Key", s.idempotencyKey)
	}
	if r.streams {
		made.Header.Set("Accept", "text/event-stream")
	}
	if wait := waitFor(s, r); r.waits && wait != "" {
		made.Header.Set("Prefer", "wait="+wait)
	}
	for _, headers := range []http.Header{r.header, s.header} {
		for name, values := range headers {
			made.Header[name] = values
		}
	}
	return made, nil
}

// spare is how long before the client gives up the server answers.
const spare = 2 * time.Second

// waitFor is how long the server may take, in seconds: a little less than is waited for; empty: as it likes.
func waitFor(s settings, r request) string {
	limit := s.timeout
	if r.streams {
		limit = s.streamTimeout
	}
	if limit <= 0 {
		return ""
	}
	wait := limit - spare
	if wait < limit/2 {
		wait = limit / 2
	}
	return strconv.FormatFloat(wait.Round(time.Millisecond).Seconds(), 'f', -1, 64)
}

// lost is the error of a try without an answer.
func (s settings) lost(ctx context.Context, watch *watch, cause error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if watch.isOver() {
		message := s.baseURL + " did not answer within " + watch.limit.String()
		return &Error{Message: message, kind: ErrTimeout, cause: cause, again: true}
	}
	var failure *url.Error
	if errors.As(cause, &failure) {
		cause = failure.Err
	}
	return &Error{Message: s.baseURL + ": " + cause.Error(), kind: ErrConnection, cause: cause, again: true}
}

// newKey is an Idempotency-Key that nobody else has.
func newKey() string {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		panic("fusionai: no random numbers: " + err.Error())
	}
	return "go_" + hex.EncodeToString(random[:])
}
