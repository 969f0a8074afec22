package fusionai

import (
	"context"
	"encoding/json"
	"net/url"
)

// ModelsService lists what the key can use.
type ModelsService struct{ client *Client }

// Model is a model that the key can use.
type Model struct {
	ID               string   `json:"id"`
	Object           string   `json:"object"`
	Created          int64    `json:"created"`
	OwnedBy          string   `json:"owned_by"`
	Provider         string   `json:"provider"`
	Type             string   `json:"type"`
	Purpose          string   `json:"purpose"`
	MaxOutputTokens  int64    `json:"max_output_tokens"`
	DefaultMaxTokens int64    `json:"default_max_tokens"`
	ContextTokens    int64    `json:"context_tokens"`
	Capabilities     []string `json:"capabilities"`
	Fallbacks        []string `json:"fallbacks"`
	// Price is in integers of Unit; see the API's document for all that may be in it.
	Price  json.RawMessage `json:"price"`
	Health json.RawMessage `json:"health"`
}

// HasTier says whether the model is sold in a service tier, such as "flex".
func (m Model) HasTier(name string) bool {
	var price struct {
		Tiers map[string]json.RawMessage `json:"service_tiers"`
	}
	if json.Unmarshal(m.Price, &price) != nil {
		return false
	}
	_, has := price.Tiers[name]
	return has
}

// List returns all models.
func (s *ModelsService) List(ctx context.Context, options ...Option) ([]Model, error) {
	page, err := pageOf[Model](ctx, s.client, "/models", nil, options)
	if err != nil {
		return nil, err
	}
	return page.Data, nil
}

// Get returns a model, by its id or as "provider.model".
func (s *ModelsService) Get(ctx context.Context, id string, options ...Option) (*Model, error) {
	return fetch[Model](ctx, s.client, "/models/"+url.PathEscape(id), nil, options)
}
