package fusionai

import (
	"context"
	"fmt"
	"time"
)

// BatchOptions are those of [Client.Batch]. The zero value is of use.
type BatchOptions struct {
	// CompletionWindow is "24h" unless you say: any of "1h" to "168h".
	CompletionWindow string
	// Tier is TierDefault, or TierCheapest where there is time.
	Tier string
	// Key tells batches of the same content apart: the same requests with the same key are the same batch, also after a
	// crash of the program, for a week.
	Key string
	// Metadata, Priority, Hold, OnInsufficientCredits and CallbackURL are as in [BatchParams].
	Metadata              map[string]string
	Priority              int
	Hold                  string
	OnInsufficientCredits string
	CallbackURL           string
	// OnProgress is called with each look at the batch that differs from the one before.
	OnProgress func(BatchProgress)
	// Skip leaves out the results of requests that were handled before a crash.
	Skip func(customID string) bool
	// Poll is the longest pause between two looks; 0: five seconds.
	Poll time.Duration
}

func (o BatchOptions) params(fileID string) BatchParams {
	return BatchParams{
		InputFileID: fileID, CompletionWindow: o.CompletionWindow, Metadata: o.Metadata, Priority: o.Priority,
		Hold: o.Hold, OnInsufficientCredits: o.OnInsufficientCredits, CallbackURL: o.CallbackURL,
	}
}

// BatchProgress is how far requests are; Failed counts each that ended otherwise than well.
type BatchProgress struct {
	Completed int
	Failed    int
	Total     int
}

// Batch has requests answered in a batch, and gives the results as they finish, each once; see [BatchRun]. More requests
// than a batch takes become several. The same call after a crash, or after an error, finds the batches that it made, and
// buys nothing again ([BatchOptions].Key).
func (c *Client) Batch(ctx context.Context, requests []BatchRequest, wanted BatchOptions, options ...Option) (*BatchRun, error) {
	cheap, err := c.cheap(ctx, requests, wanted.Tier, options)
	if err != nil {
		return nil, err
	}
	parts, err := encode(requests, cheap)
	if err != nil {
		return nil, err
	}
	run := newRun(ctx, c, wanted, options)
	run.parts = parts
	for _, one := range parts {
		if err == nil {
			err = one.submit(ctx, c, wanted, options)
		}
		one.close()
	}
	if err != nil {
		return nil, err
	}
	return run, nil
}

// ResumeBatch gives the results of a batch that was made before, by its id.
func (c *Client) ResumeBatch(ctx context.Context, id string, wanted BatchOptions, options ...Option) (*BatchRun, error) {
	batch, err := c.Batches.Get(ctx, id, options...)
	if err != nil {
		return nil, err
	}
	run := newRun(ctx, c, wanted, options)
	run.parts = []*part{{batch: batch, given: map[string]bool{}}}
	return run, nil
}

func newRun(ctx context.Context, c *Client, wanted BatchOptions, options []Option) *BatchRun {
	if wanted.Poll <= 0 {
		wanted.Poll = longestLook
	}
	run := &BatchRun{ctx: ctx, client: c, wanted: wanted, options: options, looks: firstLook}
	if wanted.Poll < firstLook {
		run.looks = wanted.Poll
	}
	return run
}

// cheap are the models that are sold at half price, where that is wanted.
func (c *Client) cheap(ctx context.Context, requests []BatchRequest, tier string, options []Option) (map[string]bool, error) {
	if tier == "" || tier == TierDefault || len(requests) == 0 {
		return nil, nil
	}
	if tier != TierCheapest {
		return nil, fmt.Errorf("fusionai: there is no tier %q", tier)
	}
	models, err := c.Models.List(ctx, options...)
	if err != nil {
		return nil, err
	}
	cheap := map[string]bool{}
	for _, model := range models {
		if model.HasTier("flex") {
			cheap[model.ID] = true
		}
	}
	return cheap, nil
}
