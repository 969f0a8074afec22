package fusionai

import (
	"context"
	"errors"
	"net/url"
	"strings"
)

// mostAsked is how many pages of jobs one look at a batch asks for.
const mostAsked = 20

// earlyResults finds the results of lines in their jobs, before the batch is over. The jobs of a batch are listed once,
// in order; those that had not ended are looked at again by their ids, from the front, since lines run about in order.
// It misses nothing that matters: the files of the batch have every result.
type earlyResults struct {
	// off: nothing is fetched early: the lines are of another dialect, whose answers jobs do not have in its form, or the
	// server does not list them.
	off     bool
	after   string
	waiting []string
	asked   int
}

func (e *earlyResults) add(path string) {
	switch "/v1" + strings.TrimPrefix(path, "/v1") {
	case "/v1/chat/completions", "/v1/embeddings", "/v1/images", "/v1/images/generations":
	default:
		e.off = true
	}
}

// fetch are results that are new, as many as the counts of the batch say there are.
func (e *earlyResults) fetch(ctx context.Context, c *Client, of *part, options []Option) []BatchResult {
	missing := of.batch.RequestCounts.Completed + of.batch.RequestCounts.Failed - len(of.given)
	if e.off || missing <= 0 {
		return nil
	}
	var found []BatchResult
	e.asked = 0
	still := e.again(ctx, c, of, missing, &found, options)
	e.waiting = append(still, e.waiting...)
	e.further(ctx, c, of, missing, &found, options)
	return found
}

// again looks at jobs that had not ended; it takes those that it looks at from waiting, and returns those that still
// have not.
func (e *earlyResults) again(
	ctx context.Context, c *Client, of *part, missing int, found *[]BatchResult, options []Option,
) []string {
	var still []string
	for len(e.waiting) > 0 && len(*found) < missing && e.more() {
		count := min(len(e.waiting), mostPage)
		ids := e.waiting[:count]
		page := e.page(ctx, c, JobFilter{IDs: ids, ListOptions: ListOptions{Limit: mostPage}}.query(), options)
		if page == nil {
			return still
		}
		e.waiting = e.waiting[count:]
		running := map[string]bool{}
		for _, id := range ids {
			running[id] = true
		}
		for _, job := range page.Data {
			if job.Ended() {
				delete(running, job.ID)
				of.take(job, found)
			}
		}
		for _, id := range ids {
			if running[id] {
				still = append(still, id)
			}
		}
	}
	return still
}

// further lists jobs that have not been seen yet.
func (e *earlyResults) further(
	ctx context.Context, c *Client, of *part, missing int, found *[]BatchResult, options []Option,
) {
	for len(*found) < missing && e.more() {
		filter := JobFilter{BatchID: of.batch.ID, OldestFirst: true, ListOptions: ListOptions{Limit: mostPage, After: e.after}}
		page := e.page(ctx, c, filter.query(), options)
		if page == nil {
			return
		}
		for _, job := range page.Data {
			if job.Ended() {
				of.take(job, found)
			} else {
				e.waiting = append(e.waiting, job.ID)
			}
		}
		if page.LastID != "" {
			e.after = page.LastID
		}
		if !page.HasMore || page.LastID == "" {
			return
		}
	}
}

func (e *earlyResults) more() bool { return !e.off && e.asked < mostAsked }

// page is a page of jobs; nil: not now, or, after a refusal, never.
func (e *earlyResults) page(ctx context.Context, c *Client, query url.Values, options []Option) *Page[Job] {
	e.asked++
	once := append(append([]Option(nil), options...), WithRetries(0))
	page, err := pageOf[Job](ctx, c, "/jobs", query, once)
	if err == nil {
		return page
	}
	var failure *Error
	if errors.As(err, &failure) && !failure.Retryable() {
		e.off = true
	}
	return nil
}

// take adds the result of a job that has ended, once.
func (p *part) take(job Job, found *[]BatchResult) {
	if job.CustomID != "" && !p.given[job.CustomID] {
		p.given[job.CustomID] = true
		*found = append(*found, resultOfJob(job))
	}
}
