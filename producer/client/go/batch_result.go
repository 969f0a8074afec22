package fusionai

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

// BatchResult is what became of a request of a batch.
type BatchResult struct {
	CustomID string
	// JobID is the job of the line; empty for one that never began.
	JobID string
	// StatusCode is what the call alone would have answered; 0: the line has no answer.
	StatusCode int
	// Body is what the call alone would have answered; nil: the line has no answer.
	Body json.RawMessage
	// Err is nil for a line that succeeded.
	Err *LineError
}

// LineError says why a line of a batch did not succeed.
type LineError struct {
	// Code is the cause for programs: "content_filter", "batch_expired", "batch_cancelled".
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *LineError) Error() string { return "fusionai: " + e.Code + ": " + e.Message }

// Chat is the answer of a chat completion that succeeded.
func (r BatchResult) Chat() (*ChatCompletion, error) { return bodyOf[ChatCompletion](r) }

// Embeddings is the answer of embeddings that succeeded.
func (r BatchResult) Embeddings() (*Embeddings, error) { return bodyOf[Embeddings](r) }

// Images is the answer of images that succeeded.
func (r BatchResult) Images() (*Images, error) { return bodyOf[Images](r) }

func bodyOf[T any](r BatchResult) (*T, error) {
	if r.Err != nil {
		return nil, r.Err
	}
	var body T
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return nil, err
	}
	return &body, nil
}

// line is a line of an output or an error file.
type line struct {
	CustomID string `json:"custom_id"`
	Response *struct {
		StatusCode int             `json:"status_code"`
		RequestID  string          `json:"request_id"`
		Body       json.RawMessage `json:"body"`
	} `json:"response"`
	Error *LineError `json:"error"`
}

func (l line) result() BatchResult {
	made := BatchResult{CustomID: l.CustomID, Err: l.Error}
	if l.Response != nil {
		made.JobID, made.StatusCode, made.Body = l.Response.RequestID, l.Response.StatusCode, l.Response.Body
		if made.Err == nil && (made.StatusCode < 200 || made.StatusCode > 299) {
			made.Err = lineError(made.StatusCode, made.Body)
		}
	}
	return made
}

// lineError is the error in a body of one.
func lineError(status int, body json.RawMessage) *LineError {
	var envelope struct {
		Error *Error `json:"error"`
	}
	if json.Unmarshal(body, &envelope) != nil || envelope.Error == nil {
		return &LineError{Code: strconv.Itoa(status), Message: "the line failed without a message"}
	}
	code := envelope.Error.Reason
	if code == "" {
		code = envelope.Error.Type
	}
	if code == "" {
		code = strconv.Itoa(status)
	}
	return &LineError{Code: code, Message: envelope.Error.Message}
}

// unanswered is the result of a request of which no file of an ended batch tells.
func unanswered(customID, status string) BatchResult {
	message := "the batch is " + status + ", and the line has no answer"
	return BatchResult{CustomID: customID, Err: &LineError{Code: "batch_" + status, Message: message}}
}

// resultFile reads the results in an output or an error file, line by line.
type resultFile struct {
	source io.ReadCloser
	lines  *bufio.Reader
}

func newResultFile(source io.ReadCloser) *resultFile {
	return &resultFile{source, bufio.NewReaderSize(source, 1<<20)}
}

// next is the next result; io.EOF at the end.
func (f *resultFile) next() (BatchResult, error) {
	for {
		data, err := f.lines.ReadBytes('\n')
		if len(data) > 1 {
			var found line
			if err := json.Unmarshal(data, &found); err != nil {
				return BatchResult{}, &Error{Message: "a line of a batch's file is not a result", kind: ErrUnexpected, cause: err}
			}
			return found.result(), nil
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return BatchResult{}, err
			}
			return BatchResult{}, io.EOF
		}
	}
}
