package fusionai

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// BatchesService makes and follows batches; [Client.Batch] does all of it in one call.
type BatchesService struct{ client *Client }

// BatchParams makes a batch of an uploaded file, or of Requests.
type BatchParams struct {
	InputFileID string         `json:"input_file_id,omitempty"`
	Requests    []BatchRequest `json:"requests,omitempty"`
	// Endpoint: all lines are of this one; empty: they may be of any.
	Endpoint string `json:"endpoint,omitempty"`
	// CompletionWindow is "24h", or any of "1h" to "168h". Empty: "24h".
	CompletionWindow string            `json:"completion_window"`
	Metadata         map[string]string `json:"metadata,omitempty"`
	// NotifyEach: each line has its event too.
	NotifyEach bool `json:"notify_each,omitempty"`
	// Priority is 0 to 9; a higher one goes first among the account's batches.
	Priority int `json:"priority,omitempty"`
	// Hold is "slices" to hold credits for the lines that start next alone, instead of for all.
	Hold string `json:"hold,omitempty"`
	// OnInsufficientCredits is "wait" to start once there is enough credit, instead of failing.
	OnInsufficientCredits string `json:"on_insufficient_credits,omitempty"`
	// CallbackURL is where the event of its end is sent.
	CallbackURL string `json:"callback_url,omitempty"`
}

func (p BatchParams) whole() BatchParams {
	if p.CompletionWindow == "" {
		p.CompletionWindow = "24h"
	}
	return p
}

// BatchRequest is a line of a batch.
type BatchRequest struct {
	// CustomID tells the results apart, 1 to 512 characters. [Client.Batch] gives "line-1" and so on where there is none.
	CustomID string
	// URL is where the request would be sent alone. Empty: as Body is of this package, else /v1/chat/completions.
	URL string
	// Body is a [ChatRequest], an [EmbeddingRequest], an [ImageRequest], or anything that is such an object.
	Body any
}

func (r BatchRequest) url() string {
	if r.URL != "" {
		return r.URL
	}
	switch r.Body.(type) {
	case EmbeddingRequest, *EmbeddingRequest:
		return "/v1/embeddings"
	case ImageRequest, *ImageRequest:
		return "/v1/images"
	}
	return "/v1/chat/completions"
}

// MarshalJSON writes the line.
func (r BatchRequest) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		CustomID string `json:"custom_id"`
		Method   string `json:"method"`
		URL      string `json:"url"`
		Body     any    `json:"body"`
	}{r.CustomID, http.MethodPost, r.url(), r.Body})
}

// Batch is OpenAI's batch object, and what is FusionAI's in it.
type Batch struct {
	ID               string  `json:"id"`
	Object           string  `json:"object"`
	Endpoint         string  `json:"endpoint"`
	Model            string  `json:"model"`
	Errors           *Faults `json:"errors"`
	InputFileID      string  `json:"input_file_id"`
	CompletionWindow string  `json:"completion_window"`
	// Status is validating, in_progress, finalizing, cancelling, completed, failed, expired or cancelled.
	Status        string            `json:"status"`
	OutputFileID  string            `json:"output_file_id"`
	ErrorFileID   string            `json:"error_file_id"`
	CreatedAt     int64             `json:"created_at"`
	InProgressAt  int64             `json:"in_progress_at"`
	ExpiresAt     int64             `json:"expires_at"`
	FinalizingAt  int64             `json:"finalizing_at"`
	CompletedAt   int64             `json:"completed_at"`
	FailedAt      int64             `json:"failed_at"`
	ExpiredAt     int64             `json:"expired_at"`
	CancellingAt  int64             `json:"cancelling_at"`
	CancelledAt   int64             `json:"cancelled_at"`
	RequestCounts RequestCounts     `json:"request_counts"`
	Metadata      map[string]string `json:"metadata"`
	Usage         json.RawMessage   `json:"usage"`
	CreditsUsed   Amount            `json:"credits_used"`
	CreditsHeld   Amount            `json:"credits_held"`
	InvoiceID     string            `json:"invoice_id"`
	NotifyEach    bool              `json:"notify_each"`
	Priority      int               `json:"priority"`
	RetryOf       string            `json:"retry_of"`
	Hold          string            `json:"hold"`
	WaitingFor    string            `json:"waiting_for"`
	WaitingUntil  int64             `json:"waiting_until"`
	CallbackURL   string            `json:"callback_url"`
	Meta          Meta              `json:"-"`
}

// RequestCounts are the lines of a batch; Failed counts every one that ended otherwise than well.
type RequestCounts struct {
	Total     int `json:"total"`
	Completed int `json:"completed"`
	Failed    int `json:"failed"`
}

// Faults are what is wrong with the lines of a batch: the first hundred.
type Faults struct {
	Data []Fault `json:"data"`
}

// Fault is what is wrong with a line, from 1; 0: with the whole.
type Fault struct {
	Code    string `json:"code"`
	Line    int    `json:"line"`
	Message string `json:"message"`
	Param   string `json:"param"`
}

// Ended says whether the batch stays as it is.
func (b Batch) Ended() bool {
	switch b.Status {
	case "completed", "failed", "expired", "cancelled":
		return true
	}
	return false
}

// Create makes a batch. Its lines are checked afterwards: what is wrong with them is in Errors of the batch, which has
// then failed and cost nothing.
func (s *BatchesService) Create(ctx context.Context, batch BatchParams, options ...Option) (*Batch, error) {
	var made Batch
	meta, err := s.client.sendJSON(ctx, request{method: http.MethodPost, path: "/batches"}, batch.whole(), &made, options)
	if err != nil {
		return nil, err
	}
	made.Meta = meta
	return &made, nil
}

// DryRun is what a batch would be.
type DryRun struct {
	Valid            bool            `json:"valid"`
	Errors           *Faults         `json:"errors"`
	Endpoint         string          `json:"endpoint"`
	Model            string          `json:"model"`
	RequestCounts    RequestCounts   `json:"request_counts"`
	CreditsWorstCase Amount          `json:"credits_worst_case"`
	CreditsAvailable Amount          `json:"credits_available"`
	Shortage         json.RawMessage `json:"shortage"`
	Estimate         json.RawMessage `json:"estimate"`
}

// DryRun says what is wrong with a batch, and what it would cost at most; nothing is made.
func (s *BatchesService) DryRun(ctx context.Context, batch BatchParams, options ...Option) (*DryRun, error) {
	data, err := withExtra(batch.whole(), map[string]any{"dry_run": true})
	if err != nil {
		return nil, err
	}
	var verdict DryRun
	r := request{method: http.MethodPost, path: "/batches", idles: true, limit: transferTimeout}
	_, err = s.client.sendJSON(ctx, r, json.RawMessage(data), &verdict, options)
	return &verdict, err
}

// Get returns the batch as it is now.
func (s *BatchesService) Get(ctx context.Context, id string, options ...Option) (*Batch, error) {
	return fetch[Batch](ctx, s.client, "/batches/"+url.PathEscape(id), nil, options)
}

// BatchFilter says which batches a list is of.
type BatchFilter struct {
	ListOptions
	Status   string
	Metadata map[string]string
}

func (f BatchFilter) query() url.Values {
	query := f.ListOptions.query()
	set(query, "status", f.Status)
	for name, value := range f.Metadata {
		query.Set("metadata."+name, value)
	}
	return query
}

// List returns a page of the batches, the newest first.
func (s *BatchesService) List(ctx context.Context, filter BatchFilter, options ...Option) (*Page[Batch], error) {
	return pageOf[Batch](ctx, s.client, "/batches", filter.query(), options)
}

// All goes through all batches.
func (s *BatchesService) All(ctx context.Context, filter BatchFilter, options ...Option) *Pager[Batch] {
	return pagerOf[Batch](ctx, s.client, "/batches", filter.query(), options)
}

// Cancel has no more of its lines begin; those that have an answer keep it.
func (s *BatchesService) Cancel(ctx context.Context, id string, options ...Option) (*Batch, error) {
	return create[Batch](ctx, s.client, "/batches/"+url.PathEscape(id)+"/cancel", nil, options)
}

// Retry makes a batch of the failed and expired lines of one that is over, or of those with one of the reasons.
func (s *BatchesService) Retry(ctx context.Context, id string, reasons []string, options ...Option) (*Batch, error) {
	body := map[string]any{}
	if len(reasons) > 0 {
		body["reasons"] = reasons
	}
	return create[Batch](ctx, s.client, "/batches/"+url.PathEscape(id)+"/retry", body, options)
}
