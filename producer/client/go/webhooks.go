package fusionai

import (
	"context"
	"net/http"
	"net/url"
)

// WebhooksService has events sent to receivers of yours, and verifies what they receive.
type WebhooksService struct{ client *Client }

// Webhook is where events are sent.
type Webhook struct {
	ID          string   `json:"id"`
	Object      string   `json:"object"`
	URL         string   `json:"url"`
	Description string   `json:"description"`
	Events      []string `json:"events"`
	// Status is "enabled" or "disabled"; DisabledReason says why, if that was not you.
	Status         string `json:"status"`
	FailingSince   int64  `json:"failing_since"`
	DisabledReason string `json:"disabled_reason"`
	CreatedAt      int64  `json:"created_at"`
	// Secret signs what is sent; only the answers of Create and Rotate have it.
	Secret string `json:"secret"`
}

// WebhookParams makes a webhook. No Events: all of them.
type WebhookParams struct {
	URL         string   `json:"url"`
	Events      []string `json:"events,omitempty"`
	Description string   `json:"description,omitempty"`
}

// Create has events sent to a URL; only this answer has the signing secret.
func (s *WebhooksService) Create(ctx context.Context, webhook WebhookParams, options ...Option) (*Webhook, error) {
	return create[Webhook](ctx, s.client, "/webhooks", webhook, options)
}

// Get returns a webhook.
func (s *WebhooksService) Get(ctx context.Context, id string, options ...Option) (*Webhook, error) {
	return fetch[Webhook](ctx, s.client, "/webhooks/"+url.PathEscape(id), nil, options)
}

// List returns a page of the webhooks, the newest first.
func (s *WebhooksService) List(ctx context.Context, page ListOptions, options ...Option) (*Page[Webhook], error) {
	return pageOf[Webhook](ctx, s.client, "/webhooks", page.query(), options)
}

// All goes through all webhooks.
func (s *WebhooksService) All(ctx context.Context, page ListOptions, options ...Option) *Pager[Webhook] {
	return pagerOf[Webhook](ctx, s.client, "/webhooks", page.query(), options)
}

// WebhookChange changes what is set. Status is "enabled" or "disabled".
type WebhookChange struct {
	URL         string   `json:"url,omitempty"`
	Events      []string `json:"events,omitempty"`
	Description *string  `json:"description,omitempty"`
	Status      string   `json:"status,omitempty"`
}

// Update changes a webhook.
func (s *WebhooksService) Update(ctx context.Context, id string, change WebhookChange, options ...Option) (*Webhook, error) {
	var made Webhook
	r := request{method: http.MethodPatch, path: "/webhooks/" + url.PathEscape(id)}
	if _, err := s.client.sendJSON(ctx, r, change, &made, options); err != nil {
		return nil, err
	}
	return &made, nil
}

// Delete has nothing more sent to a webhook.
func (s *WebhooksService) Delete(ctx context.Context, id string, options ...Option) (*Deleted, error) {
	return remove(ctx, s.client, "/webhooks/"+url.PathEscape(id), options)
}

// Rotate gives a webhook a new secret, which this answer has. Those before sign for overlapSeconds more: nil, for a day;
// 0, for one that has leaked, not at all.
func (s *WebhooksService) Rotate(ctx context.Context, id string, overlapSeconds *int, options ...Option) (*Webhook, error) {
	return create[Webhook](ctx, s.client, "/webhooks/"+url.PathEscape(id)+"/rotate", overlap(overlapSeconds), options)
}

func overlap(seconds *int) any {
	return struct {
		Seconds *int `json:"overlap_seconds,omitempty"`
	}{seconds}
}

// Test sends a webhook.test event to a webhook.
func (s *WebhooksService) Test(ctx context.Context, id string, options ...Option) (*Webhook, error) {
	return create[Webhook](ctx, s.client, "/webhooks/"+url.PathEscape(id)+"/test", nil, options)
}

// Delivery is the delivery of an event to a webhook, or to the callback of a job or batch.
type Delivery struct {
	ID          string `json:"id"`
	EventID     string `json:"event_id"`
	EventType   string `json:"event_type"`
	WebhookID   string `json:"webhook_id"`
	CallbackURL string `json:"callback_url"`
	// Status is "pending", "delivered" or "failed".
	Status         string            `json:"status"`
	Attempts       int               `json:"attempts"`
	LastStatusCode int               `json:"last_status_code"`
	LastError      string            `json:"last_error"`
	NextAttemptAt  int64             `json:"next_attempt_at"`
	DeliveredAt    int64             `json:"delivered_at"`
	Log            []DeliveryAttempt `json:"log"`
}

// DeliveryAttempt is one attempt to deliver.
type DeliveryAttempt struct {
	At         int64  `json:"at"`
	LatencyMS  int64  `json:"latency_ms"`
	StatusCode int    `json:"status_code"`
	Error      string `json:"error"`
	Response   string `json:"response"`
	Location   string `json:"location"`
}

// Deliveries returns a page of what was sent to a webhook, the newest first.
func (s *WebhooksService) Deliveries(ctx context.Context, id string, page ListOptions, options ...Option) (*Page[Delivery], error) {
	return pageOf[Delivery](ctx, s.client, "/webhooks/"+url.PathEscape(id)+"/deliveries", page.query(), options)
}

// Redelivery asks for events since a time (Unix seconds) again: those that "failed" (the default), that are "missing",
// or "all".
type Redelivery struct {
	Since  int64  `json:"since"`
	Until  int64  `json:"until,omitempty"`
	Status string `json:"status,omitempty"`
	After  string `json:"after,omitempty"`
}

// Redelivered is what a part of a redelivery came to. While HasMore is true, ask again with After of LastID.
type Redelivered struct {
	WebhookID   string `json:"webhook_id"`
	Redelivered int    `json:"redelivered"`
	HasMore     bool   `json:"has_more"`
	LastID      string `json:"last_id"`
}

// Redeliver sends events to a webhook again, up to 1,000 in a call.
func (s *WebhooksService) Redeliver(ctx context.Context, id string, wanted Redelivery, options ...Option) (*Redelivered, error) {
	return create[Redelivered](ctx, s.client, "/webhooks/"+url.PathEscape(id)+"/redeliver", wanted, options)
}

// CallbackSecret signs deliveries to the CallbackURL of jobs and batches; Valid is how many sign at present.
type CallbackSecret struct {
	ID        string `json:"id"`
	CreatedAt int64  `json:"created_at"`
	Valid     int    `json:"valid"`
	// Secret is in the answer of RotateSecret alone.
	Secret string `json:"secret"`
}

// Secret tells what is known of the secret of callbacks.
func (s *WebhooksService) Secret(ctx context.Context, options ...Option) (*CallbackSecret, error) {
	return fetch[CallbackSecret](ctx, s.client, "/webhook_secret", nil, options)
}

// RotateSecret makes a new secret of callbacks, which this answer has; overlapSeconds are as those of Rotate.
func (s *WebhooksService) RotateSecret(ctx context.Context, overlapSeconds *int, options ...Option) (*CallbackSecret, error) {
	return create[CallbackSecret](ctx, s.client, "/webhook_secret/rotate", overlap(overlapSeconds), options)
}
