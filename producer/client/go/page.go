package fusionai

import (
	"context"
	"net/url"
	"strconv"
)

// mostPage is the most that a page has.
const mostPage = 100

// Page is a part of a list. While HasMore is true, the next one begins After LastID.
type Page[T any] struct {
	Data    []T    `json:"data"`
	FirstID string `json:"first_id"`
	LastID  string `json:"last_id"`
	HasMore bool   `json:"has_more"`
}

// ListOptions are those of every list. Zero values: the server's own.
type ListOptions struct {
	// Limit is 1 to 100; the server's own is 20.
	Limit int
	// After is the id after which the page begins: LastID of the page before.
	After string
}

func (o ListOptions) query() url.Values {
	query := url.Values{}
	if o.Limit > 0 {
		query.Set("limit", strconv.Itoa(o.Limit))
	}
	set(query, "after", o.After)
	return query
}

func set(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

func setInt(query url.Values, name string, value int64) {
	if value != 0 {
		query.Set(name, strconv.FormatInt(value, 10))
	}
}

// Pager goes through a whole list, page by page:
//
//	jobs := client.Jobs.All(ctx, fusionai.JobFilter{Status: "failed"})
//	for jobs.Next() {
//		fmt.Println(jobs.Item().ID)
//	}
//	err := jobs.Err()
type Pager[T any] struct {
	fetch func(after string) (*Page[T], error)
	page  *Page[T]
	at    int
	after string
	err   error
	over  bool
}

// Next goes to the next item; false at the end, or after an error.
func (p *Pager[T]) Next() bool {
	for !p.over {
		if p.page != nil && p.at+1 < len(p.page.Data) {
			p.at++
			return true
		}
		if !p.turn() {
			p.over = true
		}
	}
	return false
}

// turn fetches the next page. A page may be empty, or shorter than the limit, and not be the last.
func (p *Pager[T]) turn() bool {
	if p.page != nil {
		if !p.page.HasMore || p.page.LastID == "" {
			return false
		}
		if p.page.LastID == p.after {
			p.err = &Error{Message: "the list does not go on after " + p.after, kind: ErrUnexpected}
			return false
		}
		p.after = p.page.LastID
	}
	p.page, p.err = p.fetch(p.after)
	p.at = -1
	return p.err == nil
}

// Item is the one that Next went to.
func (p *Pager[T]) Item() T { return p.page.Data[p.at] }

// Err is what ended the list too early, if anything did.
func (p *Pager[T]) Err() error { return p.err }

// pageOf fetches a page of a list.
func pageOf[T any](ctx context.Context, c *Client, path string, query url.Values, options []Option) (*Page[T], error) {
	var page Page[T]
	if err := c.get(ctx, path, query, &page, options); err != nil {
		return nil, err
	}
	return &page, nil
}

// pagerOf goes through a list from where query says.
func pagerOf[T any](ctx context.Context, c *Client, path string, query url.Values, options []Option) *Pager[T] {
	if query.Get("limit") == "" {
		query.Set("limit", strconv.Itoa(mostPage))
	}
	return &Pager[T]{after: query.Get("after"), fetch: func(after string) (*Page[T], error) {
		if after != "" {
			query.Set("after", after)
		}
		return pageOf[T](ctx, c, path, query, options)
	}}
}
