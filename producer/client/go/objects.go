package fusionai

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Ptr returns a pointer to a value, for optional fields: Temperature: fusionai.Ptr(0.3).
func Ptr[T any](value T) *T { return &value }

// withExtra writes a JSON object, and beside its fields those of extra, which win.
func withExtra(object any, extra map[string]any) ([]byte, error) {
	data, err := json.Marshal(object)
	if err != nil || len(extra) == 0 {
		return data, err
	}
	merged := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &merged); err != nil {
		return nil, err
	}
	for name, value := range extra {
		if merged[name], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return json.Marshal(merged)
}

// isNull says whether a raw value is absent or null.
func isNull(data json.RawMessage) bool {
	return len(data) == 0 || bytes.Equal(data, []byte("null"))
}

// fetch gets one object.
func fetch[T any](ctx context.Context, c *Client, path string, query url.Values, options []Option) (*T, error) {
	var found T
	if err := c.get(ctx, path, query, &found, options); err != nil {
		return nil, err
	}
	return &found, nil
}

// create posts a body, and gets one object.
func create[T any](ctx context.Context, c *Client, path string, body any, options []Option) (*T, error) {
	var made T
	if err := c.post(ctx, path, body, &made, options); err != nil {
		return nil, err
	}
	return &made, nil
}

// Deleted is what is said of something that has just been deleted.
type Deleted struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

func remove(ctx context.Context, c *Client, path string, options []Option) (*Deleted, error) {
	var gone Deleted
	_, err := c.do(ctx, request{method: http.MethodDelete, path: path}, &gone, options)
	if err != nil {
		return nil, err
	}
	return &gone, nil
}
