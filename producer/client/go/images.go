package fusionai

import "context"

// ImagesService makes images.
type ImagesService struct{ client *Client }

// ImageRequest asks for images.
type ImageRequest struct {
	Model  string `json:"model"`
	Prompt string `json:"prompt"`
	// Size is "1024x1024" and the like.
	Size    string `json:"size,omitempty"`
	N       int    `json:"n,omitempty"`
	Quality string `json:"quality,omitempty"`
	// ResponseFormat is "url", a link that holds a day, or "b64_json".
	ResponseFormat string            `json:"response_format,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
	Extra          map[string]any    `json:"-"`
}

// MarshalJSON writes the request with its Extra.
func (r ImageRequest) MarshalJSON() ([]byte, error) {
	type plain ImageRequest
	return withExtra(plain(r), r.Extra)
}

// Images are the images that were made.
type Images struct {
	Created int64     `json:"created"`
	Data    []Picture `json:"data"`
	// Usage has CreditsUsed and Test alone.
	Usage TokenUsage `json:"usage"`
	Meta  Meta       `json:"-"`
}

// Picture is a link to an image, or the image itself in base64.
type Picture struct {
	URL           string `json:"url"`
	B64JSON       string `json:"b64_json"`
	RevisedPrompt string `json:"revised_prompt"`
}

// Generate makes images, and waits for them.
func (s *ImagesService) Generate(ctx context.Context, body ImageRequest, options ...Option) (*Images, error) {
	var made Images
	meta, err := s.client.ask(ctx, "/images", body, &made, options)
	if err != nil {
		return nil, err
	}
	made.Meta = meta
	return &made, nil
}
