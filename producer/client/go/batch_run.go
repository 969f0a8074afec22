package fusionai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// BatchRun gives the results of requests as they finish:
//
//	run, err := client.Batch(ctx, requests, fusionai.BatchOptions{})
//	if err != nil { … }
//	defer run.Close()
//	for run.Next() {
//		result := run.Result()
//		fmt.Println(result.CustomID, result.StatusCode)
//	}
//	err = run.Err()
//
// It is for one goroutine.
type BatchRun struct {
	ctx     context.Context
	client  *Client
	wanted  BatchOptions
	options []Option
	parts   []*part
	// whole: results are wanted together, so none is fetched before its batch is over.
	whole bool

	queue    []BatchResult
	files    []*resultFile
	reading  *part
	result   BatchResult
	progress BatchProgress
	// looks is the pause before the next look, which is due then.
	looks time.Duration
	next  time.Time
	// more: a look left results that are there.
	more bool
	err  error
}

// IDs are those of the batches; [Client.ResumeBatch] takes one.
func (r *BatchRun) IDs() []string {
	var ids []string
	for _, one := range r.parts {
		ids = append(ids, one.batch.ID)
	}
	return ids
}

// Batches are as they were when they were looked at last.
func (r *BatchRun) Batches() []*Batch {
	var batches []*Batch
	for _, one := range r.parts {
		batches = append(batches, one.batch)
	}
	return batches
}

// Progress is how far the requests were at the last look.
func (r *BatchRun) Progress() BatchProgress { return r.progress }

// Result is the one that Next went to.
func (r *BatchRun) Result() BatchResult { return r.result }

// Err is what ended the results too early, if anything did.
func (r *BatchRun) Err() error { return r.err }

// Close frees what the run holds; its batches go on.
func (r *BatchRun) Close() error {
	for _, file := range r.files {
		file.source.Close()
	}
	r.files, r.queue, r.parts = nil, nil, nil
	return nil
}

// All waits for every result that has not been given yet, and returns them in the order of the requests.
func (r *BatchRun) All() ([]BatchResult, error) {
	r.whole = true
	found := map[string]BatchResult{}
	var order []string
	for _, one := range r.parts {
		order = append(order, one.customs...)
	}
	named := len(order) > 0
	for r.Next() {
		found[r.result.CustomID] = r.result
		if !named {
			order = append(order, r.result.CustomID)
		}
	}
	results := make([]BatchResult, 0, len(order))
	for _, id := range order {
		if result, has := found[id]; has {
			results = append(results, result)
		}
	}
	return results, r.err
}

// Next waits for the next result; false once there are all, or after an error.
func (r *BatchRun) Next() bool {
	for r.err == nil {
		result, found := r.take()
		if found {
			r.result = result
			return true
		}
		if r.err != nil || r.over() {
			break
		}
		r.look()
	}
	return false
}

// take is a result that is there already.
func (r *BatchRun) take() (BatchResult, bool) {
	for len(r.queue) > 0 {
		result := r.queue[0]
		r.queue = r.queue[1:]
		if r.wanted.Skip == nil || !r.wanted.Skip(result.CustomID) {
			return result, true
		}
	}
	for len(r.files) > 0 {
		result, err := r.files[0].next()
		switch {
		case err == nil:
			if r.reading.takes(result.CustomID) && (r.wanted.Skip == nil || !r.wanted.Skip(result.CustomID)) {
				return result, true
			}
		case err == io.EOF:
			r.files[0].source.Close()
			if r.files = r.files[1:]; len(r.files) == 0 {
				r.complete(r.reading)
				return r.take()
			}
		default:
			r.err = err
			return BatchResult{}, false
		}
	}
	return BatchResult{}, false
}

// isGiven says whether the results of all lines have been given already.
func (p *part) isGiven() bool {
	total := p.batch.RequestCounts.Total
	if len(p.customs) > 0 {
		total = len(p.customs)
	}
	return total > 0 && len(p.given) >= total
}

// takes notes that a result has come; false: it has been given, or is of none of these requests.
func (p *part) takes(customID string) bool {
	if p.given[customID] || p.known != nil && !p.known[customID] {
		return false
	}
	p.given[customID] = true
	return true
}

// complete adds the results of requests of which no file tells.
func (r *BatchRun) complete(of *part) {
	for _, id := range of.customs {
		if !of.given[id] {
			of.given[id] = true
			r.queue = append(r.queue, unanswered(id, of.batch.Status))
		}
	}
}

func (r *BatchRun) over() bool {
	for _, one := range r.parts {
		if !one.over {
			return false
		}
	}
	return true
}

// look has a look at each batch that is not over, once its time has come.
func (r *BatchRun) look() {
	if wait := time.Until(r.next); wait > 0 && !r.more {
		if err := r.client.settings.pause(r.ctx, wait); err != nil {
			r.err = waited(err, "the batch", "")
			return
		}
	}
	r.more = false
	for _, one := range r.parts {
		if one.over || len(r.files) > 0 {
			continue
		}
		// The page of a proxy is no end either.
		if err := r.lookAt(one); err != nil && !passes(r.ctx, err) && !errors.Is(err, ErrUnexpected) {
			r.err = waited(err, "batch "+one.batch.ID, "")
			return
		}
	}
	r.next = time.Now().Add(r.looks)
	r.looks = nextLook(r.looks, r.wanted.Poll)
}

func (r *BatchRun) lookAt(one *part) error {
	batch, err := r.client.Batches.Get(r.ctx, one.batch.ID, r.options...)
	if err != nil {
		return err
	}
	one.batch = batch
	r.tell()
	if batch.Status == "failed" {
		return failedBatch(batch)
	}
	if !batch.Ended() {
		if !r.whole {
			found, more := one.early.fetch(r.ctx, r.client, one, r.options)
			r.queue, r.more = append(r.queue, found...), r.more || more
		}
		return nil
	}
	var files []*resultFile
	if !one.isGiven() {
		if files, err = r.client.results(r.ctx, batch, r.options); err != nil {
			return err
		}
	}
	one.over = true
	r.files, r.reading = files, one
	if len(files) == 0 {
		r.complete(one)
	}
	return nil
}

// tell calls OnProgress with what has changed.
func (r *BatchRun) tell() {
	var now BatchProgress
	for _, one := range r.parts {
		counts := one.batch.RequestCounts
		total := counts.Total
		if total < len(one.customs) {
			total = len(one.customs)
		}
		now.Completed, now.Failed, now.Total = now.Completed+counts.Completed, now.Failed+counts.Failed, now.Total+total
	}
	if now != r.progress {
		r.progress = now
		if r.wanted.OnProgress != nil {
			r.wanted.OnProgress(now)
		}
	}
}

// failedBatch is the error of a batch that failed as a whole.
func failedBatch(batch *Batch) error {
	failure := &Error{Message: "batch " + batch.ID + " failed", kind: ErrBatchFailed}
	if batch.Errors == nil || len(batch.Errors.Data) == 0 {
		return failure
	}
	var said []string
	for _, fault := range batch.Errors.Data[:min(len(batch.Errors.Data), 3)] {
		if fault.Line > 0 {
			said = append(said, fmt.Sprintf("line %d: %s", fault.Line, fault.Message))
		} else {
			said = append(said, fault.Message)
		}
	}
	failure.Message += ": " + strings.Join(said, "; ")
	failure.Reason, failure.Param = batch.Errors.Data[0].Code, batch.Errors.Data[0].Param
	return failure
}
