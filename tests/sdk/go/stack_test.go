package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	fusionai "github.com/fusionai/sdk-go"
)

func TestAChatCompletionAndWhatItCost(t *testing.T) {
	client, ctx := live(t), within(t)
	before := must(client.Credits.Get(ctx))(t)
	answer := must(client.Chat.Create(ctx, asked("Say hello.")))(t)
	if !strings.HasSuffix(answer.Content(), "Say hello.") || answer.Choices[0].FinishReason != "stop" {
		t.Errorf("%+v", answer)
	}
	if answer.Usage.CreditsUsed.Cmp(answer.Meta.CreditsUsed) != 0 || answer.Usage.CreditsUsed.Cmp("0") != 1 {
		t.Error(answer.Usage.CreditsUsed, answer.Meta.CreditsUsed)
	}
	job := must(client.Jobs.Get(ctx, answer.Meta.JobID))(t)
	if chat := must(job.Chat())(t); chat.ID != answer.ID || job.ServedBy == nil {
		t.Errorf("%+v", job)
	}
	after := must(client.Credits.Get(ctx))(t)
	spent := before.Remaining.Rat()
	if spent.Sub(spent, after.Remaining.Rat()).Cmp(answer.Usage.CreditsUsed.Rat()) != 0 {
		t.Errorf("%s less %s is not %s", before.Remaining, after.Remaining, answer.Usage.CreditsUsed)
	}
	lines := fusionai.Amount("0").Rat()
	for _, line := range job.Charge.Lines {
		lines.Add(lines, line.Credits.Rat())
	}
	if lines.Cmp(job.Charge.Credits.Rat()) != 0 {
		t.Errorf("the lines of the charge are %s, not %s", lines, job.Charge.Credits)
	}
}

func TestTheSameKeyBuysOnce(t *testing.T) {
	client, ctx := live(t), within(t)
	key := fusionai.WithIdempotencyKey(fmt.Sprint("go-", time.Now().UnixNano()))
	first := must(client.Chat.Create(ctx, asked("once"), key))(t)
	again := must(client.Chat.Create(ctx, asked("once"), key))(t)
	if first.Meta.Replayed || !again.Meta.Replayed || first.Meta.JobID != again.Meta.JobID {
		t.Error(first.Meta.JobID, again.Meta.JobID, again.Meta.Replayed)
	}
	if _, err := client.Chat.Create(ctx, asked("twice"), key); !errors.Is(err, fusionai.ErrIdempotencyMismatch) {
		t.Error(err)
	}
}

func TestAStreamIsReadAndReadAgainFromItsMiddle(t *testing.T) {
	scripted(t, rule{"contains": "of the wind", "fault": rule{"kind": "stall", "tokens": 3, "seconds": 0.5}})
	client, ctx := live(t), within(t)
	request := asked("Tell me of the sea, of ships and of the wind.")
	request.StreamOptions = &fusionai.StreamOptions{IncludeUsage: true}
	stream := must(client.Chat.Stream(ctx, request))(t)
	defer stream.Close()
	whole, middle, rest, usage := "", "", "", (*fusionai.TokenUsage)(nil)
	for stream.Next() {
		if whole += stream.Chunk().Content(); middle == "" && whole != "" {
			middle = stream.LastEventID()
			continue
		}
		if rest += stream.Chunk().Content(); stream.Chunk().Usage != nil {
			usage = stream.Chunk().Usage
		}
	}
	if stream.Err() != nil || !strings.HasSuffix(whole, "the wind.") || usage == nil || usage.CreditsUsed.Cmp("0") != 1 {
		t.Fatal(whole, usage, stream.Err())
	}
	again := must(client.Jobs.Stream(ctx, stream.JobID(), middle))(t)
	defer again.Close()
	text := ""
	for again.Next() {
		text += again.Chunk().Content()
	}
	if again.Err() != nil || text != rest || text == "" {
		t.Errorf("%q and not %q: %v", text, rest, again.Err())
	}
}

func TestEmbeddingsInBothForms(t *testing.T) {
	client, ctx := live(t), within(t)
	request := fusionai.EmbeddingRequest{Model: "text-embedding-3-large", Input: []string{"a", "b"}, Dimensions: 16}
	plain := must(client.Embeddings.Create(ctx, request))(t)
	request.EncodingFormat = "base64"
	coded := must(client.Embeddings.Create(ctx, request))(t)
	if len(plain.Data) != 2 || len(plain.Data[1].Embedding) != 16 {
		t.Fatalf("%+v", plain)
	}
	for at, value := range plain.Data[1].Embedding {
		if difference := value - coded.Data[1].Embedding[at]; difference > 1e-6 || difference < -1e-6 {
			t.Errorf("%d: %v and %v", at, value, coded.Data[1].Embedding[at])
		}
	}
}

func TestImagesAndModels(t *testing.T) {
	client, ctx := live(t), within(t)
	made := must(client.Images.Generate(ctx, fusionai.ImageRequest{Model: "image-gen-2", Prompt: "a cat", Size: "1024x1024"}))(t)
	picture := must(http.Get(made.Data[0].URL))(t)
	defer picture.Body.Close()
	if picture.Header.Get("Content-Type") != "image/png" {
		t.Error(picture.Header)
	}
	flex := false
	for _, model := range must(client.Models.List(ctx))(t) {
		flex = flex || model.ID == "gpt-4" && model.HasTier("flex")
	}
	if model := must(client.Models.Get(ctx, "gpt-4"))(t); !flex || model.Provider != "openai" {
		t.Errorf("%+v", model)
	}
}

func TestJobsAreSubmittedWaitedForAndListed(t *testing.T) {
	client, ctx := live(t), within(t)
	team := map[string]string{"team": fmt.Sprint(time.Now().UnixNano())}
	var wanted []fusionai.JobRequest
	for _, text := range []string{"a", "b", "c"} {
		request := asked(text)
		request.Metadata = team
		wanted = append(wanted, fusionai.ChatJob(request))
	}
	if quote := must(client.Jobs.DryRun(ctx, wanted[0]))(t); quote.Jobs != 1 || quote.CreditsWorstCase.Cmp("0") != 1 {
		t.Errorf("%+v", quote)
	}
	submitted := must(client.Jobs.SubmitMany(ctx, wanted))(t)
	for at, one := range submitted {
		job := must(client.Jobs.Wait(ctx, one.ID))(t)
		if chat := must(job.Chat())(t); !strings.HasSuffix(chat.Content(), []string{"a", "b", "c"}[at]) {
			t.Error(chat.Content())
		}
	}
	listed := client.Jobs.All(ctx, fusionai.JobFilter{Metadata: team, ListOptions: fusionai.ListOptions{Limit: 1}})
	count := 0
	for listed.Next() {
		if listed.Item().ID != submitted[2-count].ID {
			t.Error("the newest is not first")
		}
		count++
	}
	if count != 3 || listed.Err() != nil {
		t.Error(count, listed.Err())
	}
	if counted := must(client.Jobs.Count(ctx, fusionai.JobFilter{Metadata: team}))(t); counted.Count != 3 || !counted.Exact {
		t.Errorf("%+v", counted)
	}
	if stand := must(client.Jobs.Summary(ctx))(t); stand.Succeeded.Count < 1 && stand.Running.Count+stand.Queued.Count < 1 {
		t.Errorf("%+v", stand)
	}
	input := must(client.Jobs.Input(ctx, submitted[0].ID))(t)
	if input.Type != fusionai.TypeChat || !bytes.Contains(input.Body, []byte(`"a"`)) {
		t.Errorf("%+v", input)
	}
}

func TestAWaitEndsWithItsContextAndTheJobGoesOn(t *testing.T) {
	scripted(t, slow("slowly", 3))
	client, ctx := live(t), within(t)
	job := must(client.Jobs.Submit(ctx, fusionai.ChatJob(asked("slowly"))))(t)
	short, cancel := context.WithTimeout(ctx, 700*time.Millisecond)
	defer cancel()
	var failure *fusionai.Error
	_, err := client.Jobs.Wait(short, job.ID)
	if !errors.Is(err, fusionai.ErrWaitTimeout) || !errors.Is(err, context.DeadlineExceeded) ||
		!errors.As(err, &failure) || failure.JobID != job.ID {
		t.Error(err)
	}
	if ended := must(client.Jobs.Wait(ctx, job.ID))(t); ended.Status != "succeeded" {
		t.Errorf("%+v", ended)
	}
}

func TestACallThatOutlastsItsTimeoutNamesTheJob(t *testing.T) {
	scripted(t, slow("later", 8))
	client, ctx := live(t), within(t)
	_, err := client.Chat.Create(ctx, asked("later"), fusionai.WithTimeout(4*time.Second))
	var failure *fusionai.Error
	if !errors.As(err, &failure) || !errors.Is(err, fusionai.ErrGatewayTimeout) || failure.JobID == "" {
		t.Fatal(err)
	}
	job := must(client.Jobs.Wait(ctx, failure.JobID))(t)
	if chat := must(job.Chat())(t); !strings.HasSuffix(chat.Content(), "later") {
		t.Error(chat.Content())
	}
}

func TestWhatWasUsedAndBought(t *testing.T) {
	client, ctx := live(t), within(t)
	must(client.Chat.Create(ctx, asked("used")))(t)
	report := must(client.Usage.Get(ctx, fusionai.UsageFilter{ListOptions: fusionai.ListOptions{Limit: 1}}))(t)
	sum, rows := fusionai.Amount("0").Rat(), client.Usage.All(ctx, fusionai.UsageFilter{})
	for rows.Next() {
		sum.Add(sum, rows.Item().CreditsUsed.Rat())
	}
	if rows.Err() != nil || sum.Cmp(report.CreditsUsed.Rat()) != 0 || sum.Sign() != 1 {
		t.Errorf("the rows are %s, the report says %s: %v", sum.FloatString(6), report.CreditsUsed, rows.Err())
	}
	if groups := must(client.Usage.By(ctx, "model", fusionai.UsageFilter{}))(t); len(groups.Data) == 0 {
		t.Errorf("%+v", groups)
	}
	invoice := must(client.Invoices.Create(ctx, fusionai.Purchase{Credits: 500, Description: "Top-up"}))(t)
	if found := must(client.Invoices.Get(ctx, invoice.ID))(t); found.Status != "open" || found.Credits != "500" {
		t.Errorf("%+v", found)
	}
	if top := must(client.Credits.AutoTopUp(ctx))(t); top.Enabled || top.Status != "off" {
		t.Errorf("%+v", top)
	}
	if stopped := must(client.Credits.SetAutoTopUp(ctx, nil))(t); stopped.Enabled {
		t.Errorf("%+v", stopped)
	}
	if links := must(client.Invoices.Links(ctx, invoice.ID))(t); !strings.HasPrefix(links.PDF, "http") {
		t.Errorf("%+v", links)
	}
	if types := must(client.Events.Types(ctx))(t); len(types) < 10 || types[0].Example.Type != types[0].ID {
		t.Errorf("%+v", types)
	}
	page := must(client.Events.List(ctx, fusionai.EventFilter{ListOptions: fusionai.ListOptions{Limit: 1}}))(t)
	rest := client.Events.All(ctx, fusionai.EventFilter{ListOptions: fusionai.ListOptions{After: page.LastID}})
	for last := page.Data[0].Sequence; rest.Next(); last++ {
		if rest.Item().Sequence != last+1 {
			t.Error("events have a gap after", last)
		}
	}
	if rest.Err() != nil {
		t.Error(rest.Err())
	}
}

func TestRefusalsSayWhatIsWrong(t *testing.T) {
	ctx := within(t)
	var failure *fusionai.Error
	poor := fusionai.New(given(t, "POOR_KEY"), fusionai.WithBaseURL(given(t, "URL")))
	_, err := poor.Chat.Create(ctx, asked("hello"))
	if !errors.Is(err, fusionai.ErrInsufficientCredits) || !errors.As(err, &failure) {
		t.Fatal(err)
	}
	if failure.Details["required_credits"] == nil || failure.RequestID == "" || failure.Type != "insufficient_credits" {
		t.Errorf("%+v", failure)
	}
	_, err = live(t).Chat.Create(ctx, fusionai.ChatRequest{Model: "gpt-4", Messages: []fusionai.Message{{Role: "nobody"}}})
	if !errors.Is(err, fusionai.ErrBadRequest) || !errors.As(err, &failure) || !strings.HasPrefix(failure.Param, "messages[0]") {
		t.Error(err)
	}
	nobody := fusionai.New("fusionai_live_nobody", fusionai.WithBaseURL(given(t, "URL")))
	if _, err := nobody.Credits.Get(ctx); !errors.Is(err, fusionai.ErrAuthentication) {
		t.Error(err)
	}
	sandbox := fusionai.New(given(t, "SANDBOX_KEY"), fusionai.WithBaseURL(given(t, "URL")))
	if _, err := sandbox.Credits.Get(ctx); !errors.Is(err, fusionai.ErrPermissionDenied) {
		t.Error(err)
	}
	if answer := must(sandbox.Chat.Create(ctx, asked("hello")))(t); !answer.Usage.Test {
		t.Errorf("%+v", answer.Usage)
	}
}
