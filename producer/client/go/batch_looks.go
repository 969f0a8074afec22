package fusionai

import (
	"context"
	"encoding/json"
	"net/url"
	"time"
)

// BatchErrors are why lines did not succeed, the largest group first.
type BatchErrors struct {
	BatchID string       `json:"batch_id"`
	Total   int          `json:"total"`
	Data    []BatchError `json:"data"`
	Others  int          `json:"others"`
}

// BatchError is a group of lines that did not succeed for the same reason.
type BatchError struct {
	Reason       string          `json:"reason"`
	StatusCode   int             `json:"status_code"`
	Message      string          `json:"message"`
	Count        int             `json:"count"`
	Example      json.RawMessage `json:"example"`
	RetryMayHelp bool            `json:"retry_may_help"`
}

// Errors says why lines of a batch did not succeed, so far.
func (s *BatchesService) Errors(ctx context.Context, id string, options ...Option) (*BatchErrors, error) {
	return fetch[BatchErrors](ctx, s.client, "/batches/"+url.PathEscape(id)+"/errors", nil, options)
}

// BatchState is how a batch is getting on: by provider, and why lines failed.
type BatchState struct {
	BatchID       string          `json:"batch_id"`
	Status        string          `json:"status"`
	RequestCounts RequestCounts   `json:"request_counts"`
	Providers     []ProviderState `json:"providers"`
	Reasons       []FailureReason `json:"reasons"`
	CreditsUsed   Amount          `json:"credits_used"`
	WaitingFor    string          `json:"waiting_for"`
	WaitingUntil  int64           `json:"waiting_until"`
	CreatedAt     int64           `json:"created_at"`
	FinishedAt    int64           `json:"finished_at"`
}

// ProviderState are the lines of one provider. WaitingFor says why most waiting lines wait, Until when the first of them
// is tried again.
type ProviderState struct {
	Provider   string `json:"provider"`
	Total      int    `json:"total"`
	Completed  int    `json:"completed"`
	Failed     int    `json:"failed"`
	Running    int    `json:"running"`
	Waiting    int    `json:"waiting"`
	WaitingFor string `json:"waiting_for"`
	Until      int64  `json:"until"`
}

// FailureReason is why Count lines failed, with the first message; [BatchesService.Retry] takes Reason.
type FailureReason struct {
	Reason     string `json:"reason"`
	StatusCode int    `json:"status_code"`
	Model      string `json:"model"`
	Count      int    `json:"count"`
	Message    string `json:"message"`
}

// Progress says how a batch is getting on.
func (s *BatchesService) Progress(ctx context.Context, id string, options ...Option) (*BatchState, error) {
	return fetch[BatchState](ctx, s.client, "/batches/"+url.PathEscape(id)+"/progress", nil, options)
}

// Deliveries returns the deliveries of the event of a batch's end, to webhooks and to its callback.
func (s *BatchesService) Deliveries(ctx context.Context, id string, options ...Option) (*Page[Delivery], error) {
	return pageOf[Delivery](ctx, s.client, "/batches/"+url.PathEscape(id)+"/deliveries", nil, options)
}

// Wait returns the batch once it is over; onUpdate, if there is one, is given every look at it. When the deadline of
// the context comes first, that is an [ErrWaitTimeout]; the batch goes on. A server that cannot be reached for a while
// is no end, once it has been.
func (s *BatchesService) Wait(ctx context.Context, id string, onUpdate func(*Batch), options ...Option) (*Batch, error) {
	looks, reached := firstLook, false
	for {
		batch, err := s.Get(ctx, id, options...)
		if err == nil && onUpdate != nil {
			onUpdate(batch)
		}
		if err == nil && batch.Ended() {
			return batch, nil
		}
		if reached = reached || err == nil; reached && (err == nil || passes(ctx, err)) {
			err = s.client.settings.pause(ctx, looks)
		}
		if err != nil {
			return nil, waited(err, "batch "+id, "")
		}
		looks = nextLook(looks, longestLook)
	}
}

// The first pause between two looks at a batch, and the longest; each is a quarter longer than the one before.
const (
	firstLook   = 250 * time.Millisecond
	longestLook = 5 * time.Second
)

func nextLook(last, longest time.Duration) time.Duration {
	if next := last + last/4; next < longest {
		return next
	}
	return longest
}
