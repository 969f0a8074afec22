package fusionai

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// What an [Error] is, for errors.Is. The first are by its Status: that of an answer, or that with which a job or a
// stream failed.
var (
	ErrBadRequest           = errors.New("fusionai: bad request")            // 400
	ErrAuthentication       = errors.New("fusionai: unauthorized")           // 401
	ErrInsufficientCredits  = errors.New("fusionai: insufficient credits")   // 402: Details says what would do
	ErrPermissionDenied     = errors.New("fusionai: forbidden")              // 403
	ErrNotFound             = errors.New("fusionai: not found")              // 404
	ErrMethodNotAllowed     = errors.New("fusionai: method not allowed")     // 405
	ErrConflict             = errors.New("fusionai: conflict")               // 409
	ErrPayloadTooLarge      = errors.New("fusionai: payload too large")      // 413
	ErrUnsupportedMediaType = errors.New("fusionai: unsupported media type") // 415
	ErrIdempotencyMismatch  = errors.New("fusionai: idempotency mismatch")   // 422: the key had another body before
	ErrRateLimit            = errors.New("fusionai: rate limit exceeded")    // 429
	ErrInternalServer       = errors.New("fusionai: internal server error")  // 500
	ErrUpstream             = errors.New("fusionai: upstream error")         // 502
	ErrUnavailable          = errors.New("fusionai: unavailable")            // 503
	ErrGatewayTimeout       = errors.New("fusionai: gateway timeout")        // 504: JobID names a job that goes on

	// ErrStatus is any answer with an error's status.
	ErrStatus = errors.New("fusionai: the server answered with an error")
	// ErrConnection: the server could not be reached, or the connection was lost.
	ErrConnection = errors.New("fusionai: no connection")
	// ErrTimeout: nothing came for as long as the client waits.
	ErrTimeout = errors.New("fusionai: no answer in time")
	// ErrWaitTimeout: a job or a batch had not ended when the context of a Wait did.
	ErrWaitTimeout = errors.New("fusionai: not over in time")
	// ErrStream: the stream said that it ends without the rest.
	ErrStream = errors.New("fusionai: the stream failed")
	// ErrStreamCut: the stream ended, or its connection was lost, without its last event.
	ErrStreamCut = errors.New("fusionai: the stream was cut short")
	// ErrBatchFailed: a batch failed as a whole; nothing was bought.
	ErrBatchFailed = errors.New("fusionai: the batch failed")
	// ErrJob: a job ended without a result.
	ErrJob = errors.New("fusionai: the job has no result")
	// ErrUnexpected: the answer is not this API's.
	ErrUnexpected = errors.New("fusionai: unexpected answer")
)

var byStatus = map[int]error{
	400: ErrBadRequest, 401: ErrAuthentication, 402: ErrInsufficientCredits, 403: ErrPermissionDenied,
	404: ErrNotFound, 405: ErrMethodNotAllowed, 409: ErrConflict, 413: ErrPayloadTooLarge,
	415: ErrUnsupportedMediaType, 422: ErrIdempotencyMismatch, 429: ErrRateLimit, 500: ErrInternalServer,
	502: ErrUpstream, 503: ErrUnavailable, 504: ErrGatewayTimeout,
}

// Error says why a call failed. Every error of this package's calls is one, except that of a context, and of what cannot
// be sent.
type Error struct {
	// Status is the HTTP status, or that which a job or a stream failed with; 0 when there is none.
	Status int
	// Type is the API's word for it: "insufficient_credits". Empty: no error of the API was there to say it.
	Type string
	// Message says what was wrong and where.
	Message string
	// Param is the place in the request that it is about, if any: "messages[2].content".
	Param string
	// Reason is the cause for programs, where there is more to say than the type: "context_length_exceeded".
	Reason string
	// RequestID identifies the request; include it when you contact support.
	RequestID string
	// JobID names the job that was accepted, if one was: do not send the request again, look at the job.
	JobID string
	// LastEventID is from where a stream that broke off can be read on, with [JobsService.Stream].
	LastEventID string
	// RetryAfter is the pause that the server asked for; 0: none.
	RetryAfter time.Duration
	// Details are the other fields of the error object, such as required_credits of a 402.
	Details map[string]json.RawMessage

	kind  error
	cause error
	again bool
}

// Error says what happened in one line.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString("fusionai: ")
	if e.Status != 0 {
		fmt.Fprintf(&text, "%d ", e.Status)
	}
	if e.Type != "" {
		text.WriteString(e.Type + ": ")
	}
	text.WriteString(e.Message)
	if e.RequestID != "" {
		fmt.Fprintf(&text, " (request %s)", e.RequestID)
	}
	return text.String()
}

// Unwrap returns what caused an error of the connection, or of a context.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether e is what one of the variables above stands for.
func (e *Error) Is(target error) bool {
	return target == e.kind || e.Status != 0 && target == byStatus[e.Status]
}

// Retryable reports whether the same call, with the same Idempotency-Key, may succeed later. The client has then
// already tried it as often as its settings say.
func (e *Error) Retryable() bool { return e.again }

// errorObject is the API's error object, in answers, streams and jobs.
type errorObject struct {
	Message     anyText `json:"message"`
	Type        anyText `json:"type"`
	Code        anyCode `json:"code"`
	Param       anyText `json:"param"`
	Reason      anyText `json:"reason"`
	RequestID   anyText `json:"request_id"`
	JobID       anyText `json:"job_id"`
	LastEventID anyText `json:"last_event_id"`
}

// anyText is a string; whatever else another server has put in its place is none.
type anyText string

func (t *anyText) UnmarshalJSON(data []byte) error {
	var is string
	if json.Unmarshal(data, &is) == nil {
		*t = anyText(is)
	}
	return nil
}

// anyCode is a status; other servers have words there.
type anyCode int

func (c *anyCode) UnmarshalJSON(data []byte) error {
	var is int
	if json.Unmarshal(data, &is) == nil {
		*c = anyCode(is)
	}
	return nil
}

// UnmarshalJSON reads an error object of the API, as jobs and streams have them.
func (e *Error) UnmarshalJSON(data []byte) error {
	if isNull(data) {
		return nil
	}
	var said string
	if json.Unmarshal(data, &said) == nil {
		*e = Error{Message: said, kind: ErrJob}
		return nil
	}
	var object errorObject
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	*e = Error{
		Status: int(object.Code), Type: string(object.Type), Message: string(object.Message), Param: string(object.Param),
		Reason: string(object.Reason), RequestID: string(object.RequestID), JobID: string(object.JobID),
		LastEventID: string(object.LastEventID), Details: details(data), kind: ErrJob,
	}
	return nil
}

// MarshalJSON writes the error object that was read.
func (e *Error) MarshalJSON() ([]byte, error) {
	fields := map[string]any{"message": e.Message, "type": e.Type, "code": e.Status}
	for name, value := range map[string]string{
		"param": e.Param, "reason": e.Reason, "request_id": e.RequestID, "job_id": e.JobID,
		"last_event_id": e.LastEventID,
	} {
		if value != "" {
			fields[name] = value
		}
	}
	for name, value := range e.Details {
		fields[name] = value
	}
	return json.Marshal(fields)
}

func details(data []byte) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return nil
	}
	for _, name := range []string{
		"message", "type", "code", "param", "reason", "request_id", "job_id", "last_event_id",
	} {
		delete(fields, name)
	}
	if len(fields) == 0 {
		return nil
	}
	return fields
}

// refusal is the error of an answer that is not a success, whatever its body is.
func refusal(status int, header http.Header, body []byte, now time.Time) *Error {
	var envelope struct {
		Error *Error `json:"error"`
	}
	failure := &Error{}
	if json.Unmarshal(body, &envelope) == nil && envelope.Error != nil {
		failure = envelope.Error
	}
	failure.Status, failure.kind = status, ErrStatus
	if failure.Message == "" {
		failure.Message = unsaid(status, header, body)
	}
	if failure.RequestID == "" {
		failure.RequestID = header.Get("X-Request-Id")
	}
	if failure.JobID == "" {
		failure.JobID = header.Get("FusionAI-Job-Id")
	}
	failure.RetryAfter = retryAfter(header, now)
	failure.again = triesAgain(status, header)
	return failure
}

// unsaid is what there is to say of an answer that does not say what is wrong as this API does.
func unsaid(status int, header http.Header, body []byte) string {
	if place := header.Get("Location"); place != "" && status < 400 {
		return fmt.Sprintf("the server answered %d: it is at %.200s, and redirects are not followed", status, place)
	}
	var other struct {
		Message anyText `json:"message"`
	}
	if json.Unmarshal(body, &other) == nil && other.Message != "" {
		return string(other.Message)
	}
	return fmt.Sprintf("the server answered %d without a message", status)
}

// unexpected is the error of an answer that is a success, but not one of this API.
func unexpected(got *answer, message string, cause error) *Error {
	return &Error{
		Message: message, RequestID: got.header.Get("X-Request-Id"), JobID: got.header.Get("FusionAI-Job-Id"),
		kind: ErrUnexpected, cause: cause,
	}
}
