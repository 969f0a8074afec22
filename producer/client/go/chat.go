package fusionai

import (
	"context"
	"encoding/json"
	"net/http"
)

// ChatService makes chat completions.
type ChatService struct{ client *Client }

// ChatRequest asks for a chat completion. Extra has any other field of the API, by its name there, such as "routing",
// "response_format", "grounding" or an object as "model"; it wins over the fields.
type ChatRequest struct {
	Model         string            `json:"model,omitempty"`
	Messages      []Message         `json:"messages"`
	MaxTokens     int               `json:"max_tokens,omitempty"`
	Temperature   *float64          `json:"temperature,omitempty"`
	TopP          *float64          `json:"top_p,omitempty"`
	N             int               `json:"n,omitempty"`
	Stop          []string          `json:"stop,omitempty"`
	Tools         []Tool            `json:"tools,omitempty"`
	ToolChoice    any               `json:"tool_choice,omitempty"`
	ServiceTier   string            `json:"service_tier,omitempty"`
	StreamOptions *StreamOptions    `json:"stream_options,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	Extra         map[string]any    `json:"-"`
}

// StreamOptions are those of [ChatService.Stream].
type StreamOptions struct {
	// IncludeUsage: the last chunk has the usage and no choices.
	IncludeUsage bool `json:"include_usage"`
}

// MarshalJSON writes the request with its Extra.
func (r ChatRequest) MarshalJSON() ([]byte, error) {
	type plain ChatRequest
	return withExtra(plain(r), r.Extra)
}

// Message is a turn of a conversation. Parts, if there are any, take the place of Content.
type Message struct {
	Role             string
	Content          string
	Parts            []Part
	Name             string
	ToolCalls        []ToolCall
	ToolCallID       string
	Refusal          string
	ReasoningContent string
	// ThinkingBlocks, Annotations, Images and ExtraContent are of answers. Give the first and the last back as they are.
	ThinkingBlocks json.RawMessage
	Annotations    json.RawMessage
	Images         json.RawMessage
	ExtraContent   json.RawMessage
}

// messageObject is a message as the API has it.
type messageObject struct {
	Role             string          `json:"role"`
	Content          json.RawMessage `json:"content"`
	Name             string          `json:"name,omitempty"`
	ToolCalls        []ToolCall      `json:"tool_calls,omitempty"`
	ToolCallID       string          `json:"tool_call_id,omitempty"`
	Refusal          string          `json:"refusal,omitempty"`
	ReasoningContent string          `json:"reasoning_content,omitempty"`
	ThinkingBlocks   json.RawMessage `json:"thinking_blocks,omitempty"`
	Annotations      json.RawMessage `json:"annotations,omitempty"`
	Images           json.RawMessage `json:"images,omitempty"`
	ExtraContent     json.RawMessage `json:"extra_content,omitempty"`
}

// MarshalJSON writes the message as the API takes it.
func (m Message) MarshalJSON() ([]byte, error) {
	object := messageObject{
		Role: m.Role, Name: m.Name, ToolCalls: m.ToolCalls, ToolCallID: m.ToolCallID, Refusal: m.Refusal,
		ReasoningContent: m.ReasoningContent, ThinkingBlocks: m.ThinkingBlocks, ExtraContent: m.ExtraContent,
	}
	var content any = m.Content
	if len(m.Parts) > 0 {
		content = m.Parts
	} else if m.Content == "" && (len(m.ToolCalls) > 0 || m.Refusal != "") {
		content = nil
	}
	var err error
	if object.Content, err = json.Marshal(content); err != nil {
		return nil, err
	}
	return json.Marshal(object)
}

// UnmarshalJSON reads a message.
func (m *Message) UnmarshalJSON(data []byte) error {
	var object messageObject
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	*m = Message{
		Role: object.Role, Name: object.Name, ToolCalls: object.ToolCalls, ToolCallID: object.ToolCallID,
		Refusal: object.Refusal, ReasoningContent: object.ReasoningContent, ThinkingBlocks: object.ThinkingBlocks,
		Annotations: object.Annotations, Images: object.Images, ExtraContent: object.ExtraContent,
	}
	switch {
	case isNull(object.Content):
		return nil
	case object.Content[0] == '[':
		return json.Unmarshal(object.Content, &m.Parts)
	}
	return json.Unmarshal(object.Content, &m.Content)
}

// System is a message with instructions.
func System(text string) Message { return Message{Role: "system", Content: text} }

// User is a message of the user.
func User(text string) Message { return Message{Role: "user", Content: text} }

// Assistant is an earlier answer.
func Assistant(text string) Message { return Message{Role: "assistant", Content: text} }

// ToolResult is what a function call came to.
func ToolResult(callID, text string) Message {
	return Message{Role: "tool", ToolCallID: callID, Content: text}
}

// Part is a piece of a message.
type Part struct {
	Type     string    `json:"type"`
	Text     string    `json:"text,omitempty"`
	ImageURL *ImageURL `json:"image_url,omitempty"`
}

// ImageURL is where an image is: an https URL, or a data: URL with the image itself.
type ImageURL struct {
	URL    string `json:"url"`
	Detail string `json:"detail,omitempty"`
}

// Text is a part of text.
func Text(text string) Part { return Part{Type: "text", Text: text} }

// Image is a part that is an image.
func Image(url string) Part { return Part{Type: "image_url", ImageURL: &ImageURL{URL: url}} }

// Tool is a function that the model may call.
type Tool struct {
	Type     string   `json:"type"`
	Function Function `json:"function"`
}

// Function describes a function; Parameters is a JSON schema.
type Function struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Parameters  any    `json:"parameters,omitempty"`
	Strict      *bool  `json:"strict,omitempty"`
}

// NewTool is a function that the model may call; parameters is a JSON schema.
func NewTool(name, description string, parameters any) Tool {
	return Tool{Type: "function", Function: Function{Name: name, Description: description, Parameters: parameters}}
}

// ToolCall is a function call that the model wants. In a chunk it is a piece of one, told by its Index.
type ToolCall struct {
	Index        *int            `json:"index,omitempty"`
	ID           string          `json:"id,omitempty"`
	Type         string          `json:"type,omitempty"`
	Function     CalledFunction  `json:"function"`
	ExtraContent json.RawMessage `json:"extra_content,omitempty"`
}

// CalledFunction names the function; Arguments are JSON.
type CalledFunction struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

// ChatCompletion is an answer.
type ChatCompletion struct {
	ID           string          `json:"id"`
	Object       string          `json:"object"`
	Created      int64           `json:"created"`
	Model        string          `json:"model"`
	Choices      []Choice        `json:"choices"`
	Usage        TokenUsage      `json:"usage"`
	UsageDetails json.RawMessage `json:"usage_details"`
	Cached       bool            `json:"cached"`
	Meta         Meta            `json:"-"`
}

// Content is the text of the first choice.
func (c ChatCompletion) Content() string {
	if len(c.Choices) == 0 {
		return ""
	}
	return c.Choices[0].Message.Content
}

// Choice is one of the N answers.
type Choice struct {
	Index        int             `json:"index"`
	Message      Message         `json:"message"`
	Logprobs     json.RawMessage `json:"logprobs"`
	FinishReason string          `json:"finish_reason"`
	// StopSequence is the one of Stop at which it ended, NativeFinishReason the provider's own word for why, where they
	// say more.
	StopSequence       string `json:"stop_sequence"`
	NativeFinishReason string `json:"native_finish_reason"`
}

// TokenUsage is what was used, and what it cost. Of details that are not known the pointers are nil.
type TokenUsage struct {
	PromptTokens            int64              `json:"prompt_tokens"`
	CompletionTokens        int64              `json:"completion_tokens"`
	TotalTokens             int64              `json:"total_tokens"`
	PromptTokensDetails     *PromptDetails     `json:"prompt_tokens_details"`
	CompletionTokensDetails *CompletionDetails `json:"completion_tokens_details"`
	CreditsUsed             Amount             `json:"credits_used"`
	Images                  int64              `json:"images"`
	// Test: made with a test key, and not charged. Estimated: counted by FusionAI, not told by the provider.
	Test      bool `json:"test"`
	Estimated bool `json:"estimated"`
}

// PromptDetails are of the prompt's tokens.
type PromptDetails struct {
	CachedTokens        *int64 `json:"cached_tokens"`
	CacheCreationTokens *int64 `json:"cache_creation_tokens"`
	// CacheCreation1hTokens are those of them that are kept for an hour.
	CacheCreation1hTokens *int64 `json:"cache_creation_1h_tokens"`
	AudioTokens           *int64 `json:"audio_tokens"`
}

// CompletionDetails are of the answer's tokens.
type CompletionDetails struct {
	ReasoningTokens *int64 `json:"reasoning_tokens"`
	AudioTokens     *int64 `json:"audio_tokens"`
}

// Create asks, and waits for the answer. An error with status 504 names the job, which goes on: see [JobsService.Wait].
func (s *ChatService) Create(ctx context.Context, body ChatRequest, options ...Option) (*ChatCompletion, error) {
	var made ChatCompletion
	meta, err := s.client.ask(ctx, "/chat/completions", body, &made, options)
	if err != nil {
		return nil, err
	}
	made.Meta = meta
	return &made, nil
}

// CreateAsync has the answer made without waiting for it; see [JobsService.Wait].
func (s *ChatService) CreateAsync(ctx context.Context, body ChatRequest, options ...Option) (*Job, error) {
	return s.client.askAsync(ctx, "/chat/completions", body, options)
}

// ask makes a call that waits for its job.
func (c *Client) ask(ctx context.Context, path string, body, out any, options []Option) (Meta, error) {
	return c.sendJSON(ctx, request{method: http.MethodPost, path: path, waits: true}, body, out, options)
}

func (c *Client) askAsync(ctx context.Context, path string, body any, options []Option) (*Job, error) {
	var job Job
	later := http.Header{"Prefer": {"respond-async"}}
	meta, err := c.sendJSON(ctx, request{method: http.MethodPost, path: path, header: later}, body, &job, options)
	if err != nil {
		return nil, err
	}
	job.Meta = meta
	return &job, nil
}
