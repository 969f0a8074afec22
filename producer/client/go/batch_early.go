package fusionai

import (
	"context"
	"errors"
	"net/url"
)

// mostAsked is how many pages of results one look at a batch asks for.
const mostAsked = 20

// earlyResults reads the results of a batch that runs, in the order in which its lines end. It misses nothing that
// matters: the files of the batch have every result.
type earlyResults struct {
	// off: nothing is read early: the server has no such list.
	off bool
	// after is the place in the list up to which it has been read.
	after string
}

// fetch are results that are new, as many as the counts of the batch say there are; more: there are others at once.
func (e *earlyResults) fetch(ctx context.Context, c *Client, of *part, options []Option) (found []BatchResult, more bool) {
	ended := of.batch.RequestCounts.Completed + of.batch.RequestCounts.Failed
	for asked := 0; asked < mostAsked; asked++ {
		if e.off || len(of.given) >= ended {
			return found, false
		}
		page, err := pageOf[line](ctx, c, "/batches/"+url.PathEscape(of.batch.ID)+"/results", e.query(), options)
		if err != nil {
			var failure *Error
			e.off = errors.As(err, &failure) && !failure.Retryable()
			return found, false
		}
		for _, one := range page.Data {
			if of.takes(one.CustomID) {
				found = append(found, one.result())
			}
		}
		goesOn := page.HasMore && page.LastID != e.after
		if page.LastID != "" {
			e.after = page.LastID
		}
		if !goesOn {
			return found, false
		}
	}
	return found, true
}

func (e *earlyResults) query() url.Values {
	return ListOptions{Limit: mostPage, After: e.after}.query()
}
