package fusionai

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// done is the data of the last event of a stream.
const done = "[DONE]"

// ChatStream is an answer as it comes:
//
//	stream, err := client.Chat.Stream(ctx, request)
//	if err != nil { … }
//	defer stream.Close()
//	for stream.Next() {
//		fmt.Print(stream.Chunk().Content())
//	}
//	err = stream.Err()
//
// It is for one goroutine. A stream that ends without its last event is an error and not a short answer; the error has
// the JobID and the LastEventID with which [JobsService.Stream] reads the rest.
type ChatStream struct {
	ctx      context.Context
	client   *Client
	settings settings
	// resumes: a stream that breaks off is read on.
	resumes bool

	body   io.ReadCloser
	events *sseReader
	meta   Meta
	jobID  string
	lastID string
	chunk  ChatChunk
	// tries counts how often the stream was read on without a chunk in between.
	tries int
	over  bool
	err   error
}

// ChatChunk is a piece of an answer.
type ChatChunk struct {
	ID           string          `json:"id"`
	Object       string          `json:"object"`
	Created      int64           `json:"created"`
	Model        string          `json:"model"`
	Choices      []ChunkChoice   `json:"choices"`
	Usage        *TokenUsage     `json:"usage"`
	UsageDetails json.RawMessage `json:"usage_details"`
	Cached       bool            `json:"cached"`
	// Raw is the chunk as it came.
	Raw json.RawMessage `json:"-"`
}

// ChunkChoice is the new part of one of the answers; its last one has the FinishReason.
type ChunkChoice struct {
	Index              int             `json:"index"`
	Delta              Message         `json:"delta"`
	Logprobs           json.RawMessage `json:"logprobs"`
	FinishReason       string          `json:"finish_reason"`
	StopSequence       string          `json:"stop_sequence"`
	NativeFinishReason string          `json:"native_finish_reason"`
}

// Content is the new text of the first choice.
func (c ChatChunk) Content() string {
	for _, choice := range c.Choices {
		if choice.Index == 0 {
			return choice.Delta.Content
		}
	}
	return ""
}

// Stream asks for an answer that comes piece by piece. A stream that breaks off is an error: read the rest with
// [JobsService.Stream], which buys nothing.
func (s *ChatService) Stream(ctx context.Context, body ChatRequest, options ...Option) (*ChatStream, error) {
	data, err := withExtra(body, map[string]any{"stream": true})
	if err != nil {
		return nil, err
	}
	return openStream(&ChatStream{ctx: ctx, client: s.client, settings: s.client.with(options)}, request{
		method: http.MethodPost, path: "/chat/completions", body: fixed(data), contentType: "application/json",
		header: http.Header{"Fusionai-Stream-Ids": {"true"}},
	})
}

// Stream reads the answer of a chat job as it comes: from its beginning or, with the LastEventID of another stream or of
// its error, after that event. Its last chunk has the usage. One that breaks off is read on where it was, as often as
// it gets on.
func (s *JobsService) Stream(ctx context.Context, id, lastEventID string, options ...Option) (*ChatStream, error) {
	made := &ChatStream{ctx: ctx, client: s.client, settings: s.client.with(options), resumes: true}
	made.jobID, made.lastID = id, lastEventID
	return openStream(made, made.rest())
}

func openStream(s *ChatStream, r request) (*ChatStream, error) {
	if err := s.open(r); err != nil {
		return nil, err
	}
	return s, nil
}

// open sends a request for the stream; on an error nothing is left open.
func (s *ChatStream) open(r request) error {
	r.streams, r.waits, r.opens, r.idles, r.limit = true, true, true, true, s.settings.streamTimeout
	got, err := s.client.send(s.ctx, s.settings, r)
	if err != nil {
		return err
	}
	if kind, _, _ := mime.ParseMediaType(got.header.Get("Content-Type")); kind != "text/event-stream" {
		got.stream.Close()
		return unexpected(got, "the answer is not a stream but "+strconv.Quote(kind), nil)
	}
	s.body, s.events, s.meta = got.stream, newSSEReader(got.stream), metaOf(got.header)
	if s.meta.JobID != "" {
		s.jobID = s.meta.JobID
	}
	return nil
}

// rest is the request for what was not read yet.
func (s *ChatStream) rest() request {
	r := request{method: http.MethodGet, path: "/jobs/" + url.PathEscape(s.jobID) + "/stream"}
	if s.lastID != "" {
		r.header = http.Header{"Last-Event-Id": {s.lastID}}
	}
	return r
}

// Next goes to the next chunk; false at the end, or after an error.
func (s *ChatStream) Next() bool {
	for !s.over {
		event, err := s.events.next()
		switch {
		case err != nil:
			s.interrupted(err)
		case event.data == done:
			s.finish(nil)
		case event.id != "" && event.id == s.lastID:
			// The server repeats what was read last.
		case s.take(event):
			return true
		}
	}
	return false
}

var errNoObject = errors.New("it is not a JSON object")

// take looks at an event; true: it is a chunk for the caller.
func (s *ChatStream) take(event sseEvent) bool {
	var fault struct {
		Error *Error `json:"error"`
	}
	var chunk ChatChunk
	err := errNoObject
	if strings.HasPrefix(strings.TrimSpace(event.data), "{") {
		err = json.Unmarshal([]byte(event.data), &fault)
	}
	if err == nil && fault.Error != nil {
		s.failed(fault.Error)
		return false
	}
	if err == nil {
		err = json.Unmarshal([]byte(event.data), &chunk)
	}
	if err != nil {
		s.finish(s.broken(ErrStreamCut, "an event of the stream is not a chunk", err))
		return false
	}
	if event.id != "" {
		s.lastID = event.id
	}
	chunk.Raw = json.RawMessage(event.data)
	s.chunk, s.tries = chunk, 0
	return true
}

// failed handles an error that the server sent as an event: one that says where to read on is read on there.
func (s *ChatStream) failed(failure *Error) {
	failure.kind = ErrStream
	if failure.JobID == "" {
		failure.JobID = s.jobID
	}
	if failure.LastEventID == "" {
		failure.LastEventID = s.lastID
		s.finish(failure)
		return
	}
	s.lastID = failure.LastEventID
	s.resume(failure)
}

// interrupted handles an end without [DONE].
func (s *ChatStream) interrupted(cause error) {
	if err := s.ctx.Err(); err != nil {
		s.finish(err)
		return
	}
	kind, message := ErrStreamCut, "the stream ended before its end"
	var lost *Error
	if errors.As(cause, &lost) {
		message, cause = message+": "+lost.Message, lost.cause
		if lost.kind == ErrTimeout {
			kind = ErrTimeout
		}
	}
	s.resume(s.broken(kind, message, cause))
}

func (s *ChatStream) broken(kind error, message string, cause error) *Error {
	if cause == io.EOF {
		cause = io.ErrUnexpectedEOF
	}
	return &Error{
		Message: message, RequestID: s.meta.RequestID, JobID: s.jobID, LastEventID: s.lastID, kind: kind, cause: cause,
	}
}

// resume reads on after failure, or ends with it. A server that is being replaced is asked for longer than by a call.
func (s *ChatStream) resume(failure *Error) {
	s.body.Close()
	for s.resumes && s.tries < s.settings.retries {
		if err := s.settings.pause(s.ctx, pauseBefore(s.tries, 0, chance())); err != nil {
			s.finish(err)
			return
		}
		s.tries++
		err := s.open(s.rest())
		if err == nil {
			return
		}
		if !passes(s.ctx, err) {
			s.finish(s.lostAgain(failure, err))
			return
		}
	}
	s.finish(failure)
}

// lostAgain is the error of a stream that could not be read on: the server's refusal, else what broke it off.
func (s *ChatStream) lostAgain(failure *Error, err error) error {
	var refused *Error
	if !errors.As(err, &refused) {
		return err
	}
	if refused.Status == 0 {
		return failure
	}
	refused.JobID, refused.LastEventID = s.jobID, s.lastID
	return refused
}

func (s *ChatStream) finish(err error) {
	s.over, s.err = true, err
	s.body.Close()
}

// Chunk is the one that Next went to.
func (s *ChatStream) Chunk() ChatChunk { return s.chunk }

// Err is what ended the stream too early, if anything did.
func (s *ChatStream) Err() error { return s.err }

// Collect reads what is left of the stream, and returns the whole of what was read by it: texts, tool calls, the reasons
// why they ended, and the usage, if that came.
func (s *ChatStream) Collect() (*ChatCompletion, error) {
	var made collector
	for s.Next() {
		made.add(s.chunk)
	}
	return made.completion(s.meta), s.err
}

// Close ends the reading; the job goes on. It may be called more than once.
func (s *ChatStream) Close() error {
	s.over = true
	return s.body.Close()
}

// JobID names the job behind the stream.
func (s *ChatStream) JobID() string { return s.jobID }

// LastEventID is that of the last chunk: [JobsService.Stream] reads on after it.
func (s *ChatStream) LastEventID() string { return s.lastID }

// Meta is what the headers told.
func (s *ChatStream) Meta() Meta { return s.meta }
