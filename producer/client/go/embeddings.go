package fusionai

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
)

// EmbeddingsService makes embeddings.
type EmbeddingsService struct{ client *Client }

// EmbeddingRequest asks for embeddings. Input is a string, a []string, or tokens ([]int, [][]int).
type EmbeddingRequest struct {
	Model      string `json:"model"`
	Input      any    `json:"input"`
	Dimensions int    `json:"dimensions,omitempty"`
	// EncodingFormat is "float" or "base64", which is smaller; [Vector] is the same.
	EncodingFormat string            `json:"encoding_format,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
	Extra          map[string]any    `json:"-"`
}

// MarshalJSON writes the request with its Extra.
func (r EmbeddingRequest) MarshalJSON() ([]byte, error) {
	type plain EmbeddingRequest
	return withExtra(plain(r), r.Extra)
}

// Embeddings has one vector for each input, in their order.
type Embeddings struct {
	Object string      `json:"object"`
	Data   []Embedding `json:"data"`
	Model  string      `json:"model"`
	Usage  TokenUsage  `json:"usage"`
	Meta   Meta        `json:"-"`
}

// Embedding is the vector of one input.
type Embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding Vector `json:"embedding"`
}

// Vector is read from numbers, or from base64 of little-endian 32-bit floats.
type Vector []float64

// UnmarshalJSON reads either form.
func (v *Vector) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '"' {
		return json.Unmarshal(data, (*[]float64)(v))
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	if len(raw)%4 != 0 {
		return errors.New("fusionai: an embedding in base64 is not of 32-bit floats")
	}
	*v = make(Vector, len(raw)/4)
	for at := range *v {
		(*v)[at] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*at:])))
	}
	return nil
}

// Create makes embeddings, and waits for them.
func (s *EmbeddingsService) Create(ctx context.Context, body EmbeddingRequest, options ...Option) (*Embeddings, error) {
	var made Embeddings
	meta, err := s.client.ask(ctx, "/embeddings", body, &made, options)
	if err != nil {
		return nil, err
	}
	made.Meta = meta
	return &made, nil
}
