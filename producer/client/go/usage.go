package fusionai

import (
	"context"
	"net/url"
)

// UsageService tells what was used, and what it cost.
type UsageService struct{ client *Client }

// UsageFilter says which usage is asked for. From and To are days in UTC, both inclusive: "2026-11-21". Empty: this month.
type UsageFilter struct {
	ListOptions
	From    string
	To      string
	Model   string
	BatchID string
}

func (f UsageFilter) query() url.Values {
	query := f.ListOptions.query()
	set(query, "from", f.From)
	set(query, "to", f.To)
	set(query, "model", f.Model)
	set(query, "batch_id", f.BatchID)
	return query
}

// UsageReport is what was used in a whole period, and a page of its rows.
type UsageReport struct {
	Page[UsageRow]
	Period      Period         `json:"period"`
	CreditsUsed Amount         `json:"credits_used"`
	TopModels   []ModelCredits `json:"top_models"`
}

// Period is a range of whole days, both inclusive.
type Period struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Timezone string `json:"timezone"`
}

// ModelCredits is what was spent on a model.
type ModelCredits struct {
	Model   string `json:"model"`
	Credits Amount `json:"credits"`
}

// UsageRow is what one job used, and what it cost.
type UsageRow struct {
	ID        string `json:"id"`
	Object    string `json:"object"`
	CreatedAt int64  `json:"created_at"`
	JobID     string `json:"job_id"`
	BatchID   string `json:"batch_id"`
	KeyID     string `json:"key_id"`
	Type      string `json:"type"`
	Model     string `json:"model"`
	Provider  string `json:"provider"`
	TokenUsage
}

// UsageGroups are the sums of a whole period, and a page of its groups.
type UsageGroups struct {
	Page[UsageGroup]
	Period              Period   `json:"period"`
	GroupBy             []string `json:"group_by"`
	CreditsUsed         Amount   `json:"credits_used"`
	UnattributedCredits Amount   `json:"unattributed_credits"`
}

// UsageGroup are the sums of the jobs that have the dimensions of the grouping in common.
type UsageGroup struct {
	ID               string            `json:"id"`
	Model            string            `json:"model"`
	KeyID            string            `json:"key_id"`
	KeyName          string            `json:"key_name"`
	Day              string            `json:"day"`
	Metadata         map[string]string `json:"metadata"`
	Jobs             int64             `json:"jobs"`
	PromptTokens     int64             `json:"prompt_tokens"`
	CompletionTokens int64             `json:"completion_tokens"`
	TotalTokens      int64             `json:"total_tokens"`
	Images           int64             `json:"images"`
	CreditsUsed      Amount            `json:"credits_used"`
}

// Get returns the sums of a period, and a page of its rows.
func (s *UsageService) Get(ctx context.Context, filter UsageFilter, options ...Option) (*UsageReport, error) {
	return fetch[UsageReport](ctx, s.client, "/usage", filter.query(), options)
}

// All goes through all rows of a period.
func (s *UsageService) All(ctx context.Context, filter UsageFilter, options ...Option) *Pager[UsageRow] {
	return pagerOf[UsageRow](ctx, s.client, "/usage", filter.query(), options)
}

// By returns the sums of a period by "model", "key", "day" or "metadata.NAME", or several: "key,day".
func (s *UsageService) By(ctx context.Context, groupBy string, filter UsageFilter, options ...Option) (*UsageGroups, error) {
	query := filter.query()
	query.Set("group_by", groupBy)
	return fetch[UsageGroups](ctx, s.client, "/usage", query, options)
}

// SeriesFilter says which usage over time is asked for. Interval is "minute", "hour" or "day"; times are Unix seconds.
type SeriesFilter struct {
	Interval string
	Since    int64
	Until    int64
	Model    string
	KeyID    string
}

// UsageSeries has a point for each interval, the oldest first.
type UsageSeries struct {
	Interval      string       `json:"interval"`
	Since         int64        `json:"since"`
	Until         int64        `json:"until"`
	CompleteSince int64        `json:"complete_since"`
	Data          []UsagePoint `json:"data"`
}

// UsagePoint is what was used in an interval.
type UsagePoint struct {
	Start            int64  `json:"start"`
	Jobs             int64  `json:"jobs"`
	Credits          Amount `json:"credits"`
	PromptTokens     int64  `json:"prompt_tokens"`
	CompletionTokens int64  `json:"completion_tokens"`
	Failed           int64  `json:"failed"`
	Accepted         int64  `json:"accepted"`
}

// Series returns usage over time.
func (s *UsageService) Series(ctx context.Context, filter SeriesFilter, options ...Option) (*UsageSeries, error) {
	query := url.Values{}
	set(query, "interval", filter.Interval)
	set(query, "model", filter.Model)
	set(query, "key_id", filter.KeyID)
	setInt(query, "since", filter.Since)
	setInt(query, "until", filter.Until)
	return fetch[UsageSeries](ctx, s.client, "/usage/series", query, options)
}
