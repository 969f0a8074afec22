package fusionai

import (
	"context"
	"encoding/json"
	"net/url"
)

// EventsService lists events: a webhook may miss one, this list has all of them.
type EventsService struct{ client *Client }

// Event is what happened: Data has ids, a status, counts and the URL of the rest.
type Event struct {
	ID        string          `json:"id"`
	Object    string          `json:"object"`
	Type      string          `json:"type"`
	CreatedAt int64           `json:"created_at"`
	Sequence  int64           `json:"sequence"`
	Data      json.RawMessage `json:"data"`
	Test      bool            `json:"test"`
}

// EventFilter says which events a list is of.
type EventFilter struct {
	ListOptions
	// Type is one, or several with commas between them.
	Type string
}

func (f EventFilter) query() url.Values {
	query := f.ListOptions.query()
	set(query, "type", f.Type)
	return query
}

// List returns a page of the events, the oldest first.
func (s *EventsService) List(ctx context.Context, filter EventFilter, options ...Option) (*Page[Event], error) {
	return pageOf[Event](ctx, s.client, "/events", filter.query(), options)
}

// All goes through all events from After on, in order: keep the id of the last one, and a gap is closed from there.
func (s *EventsService) All(ctx context.Context, filter EventFilter, options ...Option) *Pager[Event] {
	return pagerOf[Event](ctx, s.client, "/events", filter.query(), options)
}

// Get returns an event.
func (s *EventsService) Get(ctx context.Context, id string, options ...Option) (*Event, error) {
	return fetch[Event](ctx, s.client, "/events/"+url.PathEscape(id), nil, options)
}

// Redeliver sends an event again, to its callback and to the webhooks that had it and are enabled.
func (s *EventsService) Redeliver(ctx context.Context, id string, options ...Option) (*Event, error) {
	return create[Event](ctx, s.client, "/events/"+url.PathEscape(id)+"/redeliver", nil, options)
}

// Deliveries returns a page of the deliveries of an event.
func (s *EventsService) Deliveries(ctx context.Context, id string, page ListOptions, options ...Option) (*Page[Delivery], error) {
	return pageOf[Delivery](ctx, s.client, "/events/"+url.PathEscape(id)+"/deliveries", page.query(), options)
}

// EventType is a type of events: when one is sent, and an example of its body.
type EventType struct {
	ID          string `json:"id"`
	Description string `json:"description"`
	Example     Event  `json:"example"`
}

// Types lists the types of events.
func (s *EventsService) Types(ctx context.Context, options ...Option) ([]EventType, error) {
	page, err := pageOf[EventType](ctx, s.client, "/events/types", nil, options)
	if err != nil {
		return nil, err
	}
	return page.Data, nil
}
