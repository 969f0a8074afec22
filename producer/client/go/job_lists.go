package fusionai

import (
	"context"
	"net/url"
	"strings"
)

// JobFilter says which jobs a list is of; all that is set holds of each.
type JobFilter struct {
	ListOptions
	// Status is one, or several with commas between them.
	Status   string
	Type     string
	Model    string
	KeyID    string
	BatchID  string
	Metadata map[string]string
	// CreatedAfter and CreatedBefore are Unix times in seconds.
	CreatedAfter  int64
	CreatedBefore int64
	// IDs are up to 100 jobs.
	IDs []string
	// WithoutResults leaves the Result of each job out: a page of embeddings or images has megabytes.
	WithoutResults bool
	// OldestFirst lists the oldest first.
	OldestFirst bool
}

func (f JobFilter) filters() url.Values {
	query := url.Values{}
	set(query, "status", f.Status)
	set(query, "type", f.Type)
	set(query, "model", f.Model)
	set(query, "key_id", f.KeyID)
	set(query, "batch_id", f.BatchID)
	setInt(query, "created_after", f.CreatedAfter)
	setInt(query, "created_before", f.CreatedBefore)
	for name, value := range f.Metadata {
		query.Set("metadata."+name, value)
	}
	return query
}

func (f JobFilter) query() url.Values {
	query := f.filters()
	for name, values := range f.ListOptions.query() {
		query[name] = values
	}
	set(query, "ids", strings.Join(f.IDs, ","))
	if f.WithoutResults {
		query.Set("include_results", "false")
	}
	if f.OldestFirst {
		query.Set("order", "asc")
	}
	return query
}

// List returns a page of the jobs, the newest first.
func (s *JobsService) List(ctx context.Context, filter JobFilter, options ...Option) (*Page[Job], error) {
	return pageOf[Job](ctx, s.client, "/jobs", filter.query(), options)
}

// All goes through all jobs that meet the filter.
func (s *JobsService) All(ctx context.Context, filter JobFilter, options ...Option) *Pager[Job] {
	return pagerOf[Job](ctx, s.client, "/jobs", filter.query(), options)
}

// JobCount is how many jobs there are; Exact is false where counting stopped early.
type JobCount struct {
	Count int  `json:"count"`
	Exact bool `json:"exact"`
}

// Count counts the jobs that meet a filter, up to 10,000.
func (s *JobsService) Count(ctx context.Context, filter JobFilter, options ...Option) (*JobCount, error) {
	return fetch[JobCount](ctx, s.client, "/jobs/count", filter.filters(), options)
}

// BatchesUnderWay says how many batches are not over, and how many of them wait for credits or for a budget.
type BatchesUnderWay struct {
	Unfinished        int `json:"unfinished"`
	WaitingForCredits int `json:"waiting_for_credits"`
	WaitingForBudget  int `json:"waiting_for_budget"`
}

// JobSummary says how the jobs of the key's mode, live or test, stand: Succeeded and Failed are those created since then.
type JobSummary struct {
	Queued         JobCount        `json:"queued"`
	Running        JobCount        `json:"running"`
	Succeeded      JobCount        `json:"succeeded"`
	Failed         JobCount        `json:"failed"`
	SucceededSince int64           `json:"succeeded_since"`
	FailedSince    int64           `json:"failed_since"`
	OldestQueuedAt int64           `json:"oldest_queued_at"`
	Batches        BatchesUnderWay `json:"batches"`
}

// Summary counts the jobs that are queued or running, and that ended of late.
func (s *JobsService) Summary(ctx context.Context, options ...Option) (*JobSummary, error) {
	return fetch[JobSummary](ctx, s.client, "/jobs/summary", nil, options)
}

// Cancellation is what [JobsService.CancelAll] did.
type Cancellation struct {
	DryRun     bool   `json:"dry_run"`
	Matched    int    `json:"matched"`
	Cancelled  int    `json:"cancelled"`
	Cancelling int    `json:"cancelling"`
	HasMore    bool   `json:"has_more"`
	LastID     string `json:"last_id"`
}

// CancelAll cancels the jobs that meet a filter, up to 2,000 in a call: while HasMore is true, call again with
// ListOptions.After of LastID. With dryRun they are counted, and nothing is cancelled.
func (s *JobsService) CancelAll(ctx context.Context, filter JobFilter, dryRun bool, options ...Option) (*Cancellation, error) {
	body := map[string]any{"dry_run": dryRun}
	for name, values := range filter.filters() {
		if !strings.HasPrefix(name, "metadata.") {
			body[name] = values[0]
		}
	}
	if filter.Status != "" {
		body["status"] = strings.Split(filter.Status, ",")
	}
	for name, value := range map[string]int64{"created_after": filter.CreatedAfter, "created_before": filter.CreatedBefore} {
		if value != 0 {
			body[name] = value
		}
	}
	if len(filter.Metadata) > 0 {
		body["metadata"] = filter.Metadata
	}
	if filter.After != "" {
		body["after"] = filter.After
	}
	return create[Cancellation](ctx, s.client, "/jobs/cancel", body, options)
}

// Deliveries returns the deliveries of the event of a job's end, to webhooks and to its callback.
func (s *JobsService) Deliveries(ctx context.Context, id string, options ...Option) (*Page[Delivery], error) {
	return pageOf[Delivery](ctx, s.client, "/jobs/"+url.PathEscape(id)+"/deliveries", nil, options)
}
