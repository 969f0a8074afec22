package main

import (
	"context"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"time"

	fusionai "github.com/fusionai/sdk-go"
)

// A call is one to be made, with its arguments.
type call struct {
	ctx     context.Context
	client  *fusionai.Client
	options []fusionai.Option
	args    args
	// text is what a stream gave.
	text *string
}

type args struct {
	Body           any                  `json:"body"`
	Bodies         []map[string]any     `json:"bodies"`
	ID             string               `json:"id"`
	LastEventID    string               `json:"last_event_id"`
	TimeoutSeconds *float64             `json:"timeout_seconds"`
	Limit          int                  `json:"limit"`
	After          string               `json:"after"`
	Status         string               `json:"status"`
	From           string               `json:"from"`
	To             string               `json:"to"`
	Thresholds     []fusionai.Threshold `json:"thresholds"`
	URL            string               `json:"url"`
	Events         []string             `json:"events"`
	OverlapSeconds *int                 `json:"overlap_seconds"`
	Headers        map[string]string    `json:"headers"`
	Secrets        []string             `json:"secrets"`
	Now            *int64               `json:"now"`
	Tolerance      *int64               `json:"tolerance_seconds"`
	Credits        int64                `json:"credits"`
	Description    string               `json:"description"`
	Content        string               `json:"content"`
	Filename       string               `json:"filename"`
	Requests       []request            `json:"requests"`
	Window         string               `json:"completion_window"`
	Key            string               `json:"key"`
	Tier           string               `json:"tier"`
	PollSeconds    float64              `json:"poll_seconds"`
}

type request struct {
	CustomID string         `json:"custom_id"`
	URL      string         `json:"url"`
	Body     map[string]any `json:"body"`
}

// make makes the call of that name.
func (c *call) make(name string) (any, error) {
	api, ctx, a, options := c.client, c.ctx, c.args, c.options
	page := fusionai.ListOptions{Limit: a.Limit, After: a.After}
	days := fusionai.UsageFilter{ListOptions: page, From: a.From, To: a.To}
	body, _ := a.Body.(map[string]any)
	switch name {
	case "chat":
		return api.Chat.Create(ctx, fusionai.ChatRequest{Extra: body}, options...)
	case "chat_stream":
		return c.stream(api.Chat.Stream(ctx, fusionai.ChatRequest{Extra: body}, options...))
	case "embeddings":
		return api.Embeddings.Create(ctx, fusionai.EmbeddingRequest{Extra: body}, options...)
	case "images":
		return api.Images.Generate(ctx, fusionai.ImageRequest{Extra: body}, options...)
	case "job_submit":
		return api.Jobs.Submit(ctx, job(body), options...)
	case "jobs_submit":
		return c.submitMany()
	case "job_get":
		return api.Jobs.Get(ctx, a.ID, options...)
	case "job_cancel":
		return api.Jobs.Cancel(ctx, a.ID, options...)
	case "job_wait":
		return c.wait()
	case "job_stream":
		return c.stream(api.Jobs.Stream(ctx, a.ID, a.LastEventID, options...))
	case "jobs_list":
		filter := fusionai.JobFilter{ListOptions: page, Status: a.Status}
		return ids(api.Jobs.All(ctx, filter, options...), func(j fusionai.Job) string { return j.ID })
	case "events_since":
		filter := fusionai.EventFilter{ListOptions: page}
		return ids(api.Events.All(ctx, filter, options...), func(e fusionai.Event) string { return e.ID })
	case "usage":
		return api.Usage.Get(ctx, days, options...)
	case "usage_rows":
		return ids(api.Usage.All(ctx, days, options...), func(row fusionai.UsageRow) string { return row.ID })
	case "credits":
		return api.Credits.Get(ctx, options...)
	case "transfers_list":
		return ids(api.Credits.AllTransfers(ctx, page, options...), func(t fusionai.Transfer) string { return t.ID })
	case "thresholds_set":
		levels, err := api.Credits.SetThresholds(ctx, a.Thresholds, options...)
		return map[string]any{"thresholds": levels}, err
	case "webhook_create":
		return api.Webhooks.Create(ctx, fusionai.WebhookParams{URL: a.URL, Events: a.Events}, options...)
	case "webhook_rotate":
		return api.Webhooks.Rotate(ctx, a.ID, a.OverlapSeconds, options...)
	case "webhooks_list":
		return ids(api.Webhooks.All(ctx, page, options...), func(w fusionai.Webhook) string { return w.ID })
	case "webhook_delete":
		return api.Webhooks.Delete(ctx, a.ID, options...)
	case "webhook_verify":
		return c.verify()
	case "invoice_create":
		return api.Invoices.Create(ctx, fusionai.Purchase{Credits: a.Credits, Description: a.Description}, options...)
	case "invoice_get":
		return api.Invoices.Get(ctx, a.ID, options...)
	case "invoices_list":
		filter := fusionai.InvoiceFilter{ListOptions: page}
		return ids(api.Invoices.All(ctx, filter, options...), func(i fusionai.Invoice) string { return i.ID })
	case "models_list":
		return c.models()
	case "file_upload":
		upload := fusionai.FileUpload{Filename: a.Filename, Content: strings.NewReader(a.Content)}
		return api.Files.Upload(ctx, upload, options...)
	case "batch":
		return c.batch()
	}
	return nil, fmt.Errorf("there is no call %q", name)
}

func job(body map[string]any) fusionai.JobRequest {
	kind, _ := body["type"].(string)
	return fusionai.JobRequest{Type: kind, Request: body}
}

func (c *call) submitMany() (any, error) {
	var jobs []fusionai.JobRequest
	for _, body := range c.args.Bodies {
		jobs = append(jobs, job(body))
	}
	made, err := c.client.Jobs.SubmitMany(c.ctx, jobs, c.options...)
	found := []string{}
	for _, one := range made {
		found = append(found, one.ID)
	}
	return map[string]any{"ids": found}, err
}

func (c *call) wait() (any, error) {
	ctx := c.ctx
	if limit := c.args.TimeoutSeconds; limit != nil {
		limited, cancel := context.WithTimeout(ctx, seconds(*limit))
		defer cancel()
		ctx = limited
	}
	return c.client.Jobs.Wait(ctx, c.args.ID, c.options...)
}

func (c *call) models() (any, error) {
	models, err := c.client.Models.List(c.ctx, c.options...)
	found := []string{}
	for _, one := range models {
		found = append(found, one.ID)
	}
	return map[string]any{"ids": found}, err
}

func ids[T any](pager *fusionai.Pager[T], id func(T) string) (any, error) {
	found := []string{}
	for pager.Next() {
		found = append(found, id(pager.Item()))
	}
	return map[string]any{"ids": found}, pager.Err()
}

func (c *call) stream(stream *fusionai.ChatStream, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	text := ""
	c.text = &text
	value := map[string]any{}
	for stream.Next() {
		chunk := stream.Chunk()
		text += chunk.Content()
		if chunk.Usage != nil {
			value["usage"] = chunk.Usage
		}
		for _, choice := range chunk.Choices {
			if choice.FinishReason != "" {
				value["finish_reason"] = choice.FinishReason
			}
		}
	}
	return value, stream.Err()
}

func (c *call) verify() (any, error) {
	header := http.Header{}
	for name, value := range c.args.Headers {
		header.Set(name, value)
	}
	var options []fusionai.VerifyOption
	if now := c.args.Now; now != nil {
		options = append(options, fusionai.WithNow(time.Unix(*now, 0)))
	}
	if most := c.args.Tolerance; most != nil {
		options = append(options, fusionai.WithTolerance(time.Duration(*most)*time.Second))
	}
	body, _ := c.args.Body.(string)
	return c.client.Webhooks.Verify([]byte(body), header, c.args.Secrets, options...)
}

// batch has the results in the order of the requests, and tells in which order they came.
func (c *call) batch() (any, error) {
	progress := [][3]int{}
	positions := map[string]int{}
	var requests []fusionai.BatchRequest
	for at, one := range c.args.Requests {
		id := one.CustomID
		if id == "" {
			id = fmt.Sprintf("line-%d", at+1)
		}
		positions[id] = at
		requests = append(requests, fusionai.BatchRequest{CustomID: one.CustomID, URL: one.URL, Body: one.Body})
	}
	run, err := c.client.Batch(c.ctx, requests, fusionai.BatchOptions{
		CompletionWindow: c.args.Window, Key: c.args.Key, Tier: c.args.Tier, Poll: seconds(c.args.PollSeconds),
		OnProgress: func(now fusionai.BatchProgress) {
			progress = append(progress, [3]int{now.Completed, now.Failed, now.Total})
		},
	}, c.options...)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	var all []fusionai.BatchResult
	order, results := []string{}, []any{}
	for run.Next() {
		all = append(all, run.Result())
		order = append(order, run.Result().CustomID)
	}
	sort.SliceStable(all, func(i, j int) bool { return positions[all[i].CustomID] < positions[all[j].CustomID] })
	for _, one := range all {
		var body, failure any
		if one.Body != nil {
			body = one.Body
		}
		if one.Err != nil {
			failure = one.Err
		}
		results = append(results, map[string]any{
			"custom_id": one.CustomID, "status_code": one.StatusCode, "body": body, "error": failure,
		})
	}
	return map[string]any{"results": results, "order": order, "progress": progress}, run.Err()
}
