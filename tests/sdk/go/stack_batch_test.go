package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	fusionai "github.com/fusionai/sdk-go"
)

func TestABatchGivesResultsAsTheyFinish(t *testing.T) {
	scripted(t, slow("the last", 10))
	client, ctx := live(t), within(t)
	requests := []fusionai.BatchRequest{
		{CustomID: "slow", Body: asked("the last")},
		{CustomID: "vector", Body: fusionai.EmbeddingRequest{Model: "text-embedding-3-large", Input: "a", Dimensions: 4}},
	}
	for n := 0; n < 8; n++ {
		requests = append(requests, fusionai.BatchRequest{CustomID: fmt.Sprint("q-", n), Body: asked(fmt.Sprint(n))})
	}
	wanted := fusionai.BatchOptions{Key: fmt.Sprint(time.Now().UnixNano())}
	run := must(client.Batch(ctx, requests, wanted))(t)
	defer run.Close()
	var order []string
	early := 0
	for run.Next() {
		result := run.Result()
		order = append(order, result.CustomID)
		if result.Err != nil || result.StatusCode != 200 || result.JobID == "" {
			t.Errorf("%+v", result)
		}
		if !run.Batches()[0].Ended() {
			early++
		}
	}
	if run.Err() != nil || len(order) != 10 || order[9] != "slow" || early < 9 {
		t.Errorf("%v, %d early: %v", order, early, run.Err())
	}
	again := must(client.Batch(ctx, requests, wanted))(t)
	defer again.Close()
	if again.IDs()[0] != run.IDs()[0] {
		t.Error("the same call made another batch")
	}
	results := must(again.All())(t)
	if len(results) != 10 || results[0].CustomID != "slow" || results[9].CustomID != "q-7" {
		t.Errorf("%+v", results)
	}
	if vectors := must(results[1].Embeddings())(t); len(vectors.Data[0].Embedding) != 4 {
		t.Errorf("%+v", vectors)
	}
	resumed := must(client.ResumeBatch(ctx, run.IDs()[0], fusionai.BatchOptions{
		Skip: func(id string) bool { return strings.HasPrefix(id, "q-") },
	}))(t)
	defer resumed.Close()
	if left := must(resumed.All())(t); len(left) != 2 {
		t.Errorf("%+v", left)
	}
}

func TestLinesThatFailAndBatchesThatDo(t *testing.T) {
	client, ctx := live(t), within(t)
	stamp := fmt.Sprint(time.Now().UnixNano())
	scripted(t, rule{"contains": "refused " + stamp, "fault": rule{"status": 400}})
	run := must(client.Batch(ctx, []fusionai.BatchRequest{
		{Body: asked("well " + stamp)}, {Body: asked("refused " + stamp)},
	}, fusionai.BatchOptions{}))(t)
	results := must(run.All())(t)
	if len(results) != 2 || results[0].Err != nil || results[1].Err == nil || results[1].StatusCode != 400 {
		t.Fatalf("%+v", results)
	}
	if _, err := results[1].Chat(); err == nil {
		t.Error("a line that failed has an answer")
	}
	if progress := run.Progress(); progress != (fusionai.BatchProgress{Completed: 1, Failed: 1, Total: 2}) {
		t.Error(progress)
	}
	state := must(client.Batches.Progress(ctx, run.IDs()[0]))(t)
	if len(state.Reasons) != 1 || state.Reasons[0].Count != 1 || state.Providers[0].Provider != "openai" {
		t.Errorf("%+v", state)
	}
	if groups := must(client.Batches.Errors(ctx, run.IDs()[0]))(t); groups.Total != 1 || groups.Data[0].StatusCode != 400 {
		t.Errorf("%+v", groups)
	}
	again := must(client.Batches.Retry(ctx, run.IDs()[0], nil))(t)
	if ended := must(client.Batches.Wait(ctx, again.ID, nil))(t); ended.RetryOf != run.IDs()[0] || ended.RequestCounts.Total != 1 {
		t.Errorf("%+v", ended)
	}
	unknown := fusionai.ChatRequest{Model: "no-such-model", Messages: []fusionai.Message{fusionai.User(stamp)}}
	run = must(client.Batch(ctx, []fusionai.BatchRequest{{Body: unknown}}, fusionai.BatchOptions{}))(t)
	if _, err := run.All(); !errors.Is(err, fusionai.ErrBatchFailed) || !strings.Contains(err.Error(), "no-such-model") {
		t.Error(err)
	}
}

func TestFilesGoUpAndComeDown(t *testing.T) {
	client, ctx := live(t), within(t)
	content := []byte("{\"custom_id\": \"Grüße ☃\"}\n")
	file := must(client.Files.Upload(ctx, fusionai.FileUpload{Filename: "lines.jsonl", Content: bytes.NewReader(content)}))(t)
	if file.Filename != "lines.jsonl" || file.Bytes != int64(len(content)) {
		t.Errorf("%+v", file)
	}
	opened := must(client.Files.Content(ctx, file.ID))(t)
	defer opened.Close()
	if read := must(io.ReadAll(opened))(t); !bytes.Equal(read, content) {
		t.Errorf("%q", read)
	}
	if gone := must(client.Files.Delete(ctx, file.ID))(t); !gone.Deleted {
		t.Errorf("%+v", gone)
	}
	if _, err := client.Files.Get(ctx, file.ID); !errors.Is(err, fusionai.ErrNotFound) {
		t.Error(err)
	}
}

func TestAWebhookIsVerifiedAlsoAfterARotation(t *testing.T) {
	client, ctx := live(t), within(t)
	type delivery struct {
		body   []byte
		header http.Header
	}
	came := make(chan delivery, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		came <- delivery{body, r.Header}
	}))
	defer receiver.Close()
	hook := must(client.Webhooks.Create(ctx, fusionai.WebhookParams{URL: receiver.URL, Events: []string{"webhook.test"}}))(t)
	rotated := must(client.Webhooks.Rotate(ctx, hook.ID, nil))(t)
	must(client.Webhooks.Test(ctx, hook.ID))(t)
	select {
	case got := <-came:
		for _, secret := range []string{hook.Secret, rotated.Secret} {
			event := must(client.Webhooks.Verify(got.body, got.header, []string{secret}))(t)
			if event.ID != got.header.Get("Webhook-Id") || event.Type != "webhook.test" {
				t.Errorf("%+v", event)
			}
		}
		var refused *fusionai.WebhookError
		_, err := fusionai.VerifyWebhook(append(got.body, ' '), got.header, []string{hook.Secret})
		if !errors.As(err, &refused) || refused.Reason != fusionai.WrongSignature {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("nothing was delivered")
	}
	if gone := must(client.Webhooks.Delete(ctx, hook.ID))(t); !gone.Deleted {
		t.Errorf("%+v", gone)
	}
}
