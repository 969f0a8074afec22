package fusionai

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// JobsService submits work and follows it.
type JobsService struct{ client *Client }

// Types of jobs.
const (
	TypeChat      = "chat.completion"
	TypeEmbedding = "embedding"
	TypeImage     = "image"
)

// JobRequest is work: [ChatJob], [EmbeddingJob] or [ImageJob] make one.
type JobRequest struct {
	// Type is that of the job.
	Type string
	// Request is its body: a [ChatRequest], an [EmbeddingRequest], an [ImageRequest], or anything that is such an object.
	Request any
	// CallbackURL is where the event of its end is sent.
	CallbackURL string
	// OnInsufficientCredits is "wait", or nothing: then a job that cannot be held for is refused.
	OnInsufficientCredits string
}

// ChatJob is a chat completion as a job.
func ChatJob(request ChatRequest) JobRequest { return JobRequest{Type: TypeChat, Request: request} }

// EmbeddingJob is an embedding as a job.
func EmbeddingJob(request EmbeddingRequest) JobRequest {
	return JobRequest{Type: TypeEmbedding, Request: request}
}

// ImageJob is an image as a job.
func ImageJob(request ImageRequest) JobRequest { return JobRequest{Type: TypeImage, Request: request} }

// MarshalJSON writes the body of POST /jobs.
func (r JobRequest) MarshalJSON() ([]byte, error) {
	beside := map[string]any{"type": r.Type}
	if r.CallbackURL != "" {
		beside["callback_url"] = r.CallbackURL
	}
	if r.OnInsufficientCredits != "" {
		beside["on_insufficient_credits"] = r.OnInsufficientCredits
	}
	return withExtra(r.Request, beside)
}

// Job is a piece of work, and its result once it has succeeded.
type Job struct {
	ID     string `json:"id"`
	Object string `json:"object"`
	Type   string `json:"type"`
	// Status is queued, running, succeeded, failed, cancelled or expired.
	Status          string            `json:"status"`
	Model           string            `json:"model"`
	ServedBy        *ServedBy         `json:"served_by"`
	BatchID         string            `json:"batch_id"`
	CustomID        string            `json:"custom_id"`
	Attempts        []Attempt         `json:"attempts"`
	CreatedAt       int64             `json:"created_at"`
	StartedAt       int64             `json:"started_at"`
	FinishedAt      int64             `json:"finished_at"`
	ExpiresAt       int64             `json:"expires_at"`
	Metadata        map[string]string `json:"metadata"`
	Result          json.RawMessage   `json:"result"`
	Error           *Error            `json:"error"`
	Usage           *TokenUsage       `json:"usage"`
	Charge          *Charge           `json:"charge"`
	Hold            *JobHold          `json:"hold"`
	Routing         json.RawMessage   `json:"routing"`
	Ignored         []string          `json:"ignored"`
	CancelRequested bool              `json:"cancel_requested"`
	Cached          bool              `json:"cached"`
	Refunded        Amount            `json:"refunded"`
	WaitingFor      string            `json:"waiting_for"`
	LinkedContext   []Linked          `json:"linked_context"`
	CallbackURL     string            `json:"callback_url"`
	Meta            Meta              `json:"-"`
}

// ServedBy is who served a job.
type ServedBy struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
}

// Attempt is one call to a provider; Error is empty if it succeeded.
type Attempt struct {
	Provider   string `json:"provider"`
	Model      string `json:"model"`
	StartedAt  int64  `json:"started_at"`
	FinishedAt int64  `json:"finished_at"`
	StatusCode int    `json:"status_code"`
	Error      string `json:"error"`
}

// Ended says whether the job stays as it is.
func (j Job) Ended() bool {
	switch j.Status {
	case "succeeded", "failed", "cancelled", "expired":
		return true
	}
	return false
}

// Err is nil for a job that succeeded, or has not ended; else an [Error] that says why it did not.
func (j Job) Err() error {
	if !j.Ended() || j.Status == "succeeded" {
		return nil
	}
	failure := &Error{Message: "job " + j.ID + " is " + j.Status, Reason: j.Status, JobID: j.ID, kind: ErrJob}
	if j.Error != nil {
		copied := *j.Error
		failure = &copied
		failure.JobID = j.ID
	}
	return failure
}

// Chat is the result of a chat job that succeeded.
func (j Job) Chat() (*ChatCompletion, error) { return resultOf[ChatCompletion](j, TypeChat) }

// Embeddings is the result of an embedding job that succeeded.
func (j Job) Embeddings() (*Embeddings, error) { return resultOf[Embeddings](j, TypeEmbedding) }

// Images is the result of an image job that succeeded.
func (j Job) Images() (*Images, error) { return resultOf[Images](j, TypeImage) }

func resultOf[T any](j Job, kind string) (*T, error) {
	if err := j.Err(); err != nil {
		return nil, err
	}
	if j.Type != kind {
		return nil, errors.New("fusionai: job " + j.ID + " is a " + j.Type + ", not a " + kind)
	}
	if isNull(j.Result) {
		return nil, errors.New("fusionai: job " + j.ID + " has no result: it is " + j.Status)
	}
	var result T
	if err := json.Unmarshal(j.Result, &result); err != nil {
		return nil, err
	}
	return &result, nil
}

// Submit accepts a job, and does not wait for it.
func (s *JobsService) Submit(ctx context.Context, job JobRequest, options ...Option) (*Job, error) {
	var made Job
	meta, err := s.client.sendJSON(ctx, request{method: http.MethodPost, path: "/jobs"}, job, &made, options)
	if err != nil {
		return nil, err
	}
	made.Meta = meta
	return &made, nil
}

// SubmitMany accepts up to 1,000 jobs, all or none; they come back in the same order.
func (s *JobsService) SubmitMany(ctx context.Context, jobs []JobRequest, options ...Option) ([]Job, error) {
	made, err := create[Page[Job]](ctx, s.client, "/jobs", map[string]any{"jobs": jobs}, options)
	if err != nil {
		return nil, err
	}
	return made.Data, nil
}

// JobsDryRun is what jobs would cost.
type JobsDryRun struct {
	Jobs             int             `json:"jobs"`
	CreditsWorstCase Amount          `json:"credits_worst_case"`
	CreditsAvailable Amount          `json:"credits_available"`
	Shortage         json.RawMessage `json:"shortage"`
	Estimate         json.RawMessage `json:"estimate"`
}

// DryRun says what is wrong with a job, and what it would cost at most; nothing is made.
func (s *JobsService) DryRun(ctx context.Context, job JobRequest, options ...Option) (*JobsDryRun, error) {
	data, err := withExtra(job, map[string]any{"dry_run": true})
	if err != nil {
		return nil, err
	}
	return create[JobsDryRun](ctx, s.client, "/jobs", json.RawMessage(data), options)
}

// Get returns the job as it is now.
func (s *JobsService) Get(ctx context.Context, id string, options ...Option) (*Job, error) {
	return fetch[Job](ctx, s.client, "/jobs/"+url.PathEscape(id), nil, options)
}

// Wait returns the job once it has ended, however it did ([Job.Err] says). When the deadline of the context comes
// first, that is an [ErrWaitTimeout], which is a context.DeadlineExceeded too; the job goes on. A server that cannot be
// reached for a while is no end, once it has been.
func (s *JobsService) Wait(ctx context.Context, id string, options ...Option) (*Job, error) {
	made, reached := s.client.with(options), false
	for {
		began := time.Now()
		job, err := fetch[Job](ctx, s.client, "/jobs/"+url.PathEscape(id), url.Values{"wait": {made.look(ctx)}}, options)
		if err == nil && job.Ended() {
			return job, nil
		}
		if reached = reached || err == nil; reached && passes(ctx, err) {
			err = nil
		}
		// A server that is about to stop answers early.
		if rest := lookPause - time.Since(began); err == nil && rest > 0 {
			err = made.pause(ctx, rest)
		}
		if err != nil {
			return nil, waited(err, "job "+id, id)
		}
	}
}

// passes says whether an error is no end of a wait: the next look may succeed.
func passes(ctx context.Context, err error) bool {
	var failure *Error
	return ctx.Err() == nil && errors.As(err, &failure) && failure.Retryable()
}

// lookPause is the least time between two looks at something.
const lookPause = 500 * time.Millisecond

// look is how long one look of Wait may take, in seconds: no longer than the client waits, nor than its caller.
func (s settings) look(ctx context.Context) string {
	if s.timeout <= 0 {
		s.timeout = DefaultTimeout
	}
	if at, limited := ctx.Deadline(); limited {
		if left := time.Until(at); left < s.timeout {
			s.timeout = left + time.Millisecond
		}
	}
	return waitFor(s, request{})
}

// waited is the error of a wait that was given up.
func waited(err error, what, jobID string) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &Error{Message: what + " is not over in time; it goes on", JobID: jobID, kind: ErrWaitTimeout, cause: err}
}

// Cancel asks that a job end; one that has already ended stays as it is.
func (s *JobsService) Cancel(ctx context.Context, id string, options ...Option) (*Job, error) {
	return create[Job](ctx, s.client, "/jobs/"+url.PathEscape(id)+"/cancel", nil, options)
}

// JobInput is what a job asked, as it can be sent again.
type JobInput struct {
	JobID   string          `json:"job_id"`
	Type    string          `json:"type"`
	KeyID   string          `json:"key_id"`
	KeyName string          `json:"key_name"`
	URL     string          `json:"url"`
	Body    json.RawMessage `json:"body"`
}

// Input returns what a job asked.
func (s *JobsService) Input(ctx context.Context, id string, options ...Option) (*JobInput, error) {
	return fetch[JobInput](ctx, s.client, "/jobs/"+url.PathEscape(id)+"/input", nil, options)
}
