package fusionai_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	fusionai "github.com/fusionai/sdk-go"
)

var (
	ctx    = context.Background()
	client = fusionai.New("fusionai_test_…")
)

func ExampleNew() {
	client := fusionai.New(os.Getenv("FUSIONAI_API_KEY"),
		fusionai.WithBaseURL("http://127.0.0.1:8000/v1"), fusionai.WithTimeout(time.Minute))
	fmt.Println(client)
	// Output: fusionai.Client(http://127.0.0.1:8000/v1)
}

func ExampleChatService_Create() {
	answer, err := client.Chat.Create(ctx, fusionai.ChatRequest{
		Model:       "claude-3-opus",
		Messages:    []fusionai.Message{fusionai.System("Answer briefly."), fusionai.User("7 times 7?")},
		Temperature: fusionai.Ptr(0.3),
		Extra:       map[string]any{"routing": map[string]any{"fallbacks": []string{"gpt-4"}}},
	}, fusionai.WithIdempotencyKey("order-1815"))
	var failure *fusionai.Error
	switch {
	case errors.Is(err, fusionai.ErrInsufficientCredits):
		log.Fatal("buy credits: ", err)
	case errors.As(err, &failure) && failure.JobID != "":
		log.Print("it goes on; wait for ", failure.JobID)
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Println(answer.Content(), answer.Usage.CreditsUsed)
	}
}

func ExampleChatService_Stream() {
	stream, err := client.Chat.Stream(ctx, fusionai.ChatRequest{
		Model:         "gpt-4",
		Messages:      []fusionai.Message{fusionai.User("Draft a product brief.")},
		StreamOptions: &fusionai.StreamOptions{IncludeUsage: true},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()
	for stream.Next() {
		fmt.Print(stream.Chunk().Content())
	}
	if err := stream.Err(); err != nil {
		log.Fatal(err)
	}
}

func ExampleNewTool() {
	answer, err := client.Chat.Create(ctx, fusionai.ChatRequest{
		Model:    "gpt-4",
		Messages: []fusionai.Message{fusionai.User("Find my last invoice.")},
		Tools: []fusionai.Tool{fusionai.NewTool("get_invoices", "Fetch invoices for a customer", map[string]any{
			"type": "object", "properties": map[string]any{"customerId": map[string]any{"type": "string"}},
		})},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, call := range answer.Choices[0].Message.ToolCalls {
		fmt.Println(call.Function.Name, call.Function.Arguments)
	}
}

func ExampleJobsService_Wait() {
	job, err := client.Jobs.Submit(ctx, fusionai.ImageJob(fusionai.ImageRequest{Model: "image-gen-2", Prompt: "a lighthouse"}))
	if err != nil {
		log.Fatal(err)
	}
	within, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	job, err = client.Jobs.Wait(within, job.ID)
	if err != nil {
		log.Fatal(err)
	}
	images, err := job.Images() // an error where the job has failed
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(images.Data[0].URL)
}

func ExampleClient_Batch() {
	requests := []fusionai.BatchRequest{
		{CustomID: "a", Body: fusionai.ChatRequest{Model: "gpt-4", Messages: []fusionai.Message{fusionai.User("hi")}}},
		{CustomID: "b", Body: fusionai.EmbeddingRequest{Model: "text-embedding-3-large", Input: "hi"}},
	}
	run, err := client.Batch(ctx, requests, fusionai.BatchOptions{
		Key:        "nightly-2026-11-29",
		Tier:       fusionai.TierCheapest,
		OnProgress: func(p fusionai.BatchProgress) { log.Printf("%d of %d", p.Completed+p.Failed, p.Total) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer run.Close()
	for run.Next() { // as they finish
		result := run.Result()
		fmt.Println(result.CustomID, result.StatusCode, result.Err)
	}
	if err := run.Err(); err != nil {
		log.Fatal(err)
	}
}

func ExamplePager() {
	jobs := client.Jobs.All(ctx, fusionai.JobFilter{Status: "failed", Metadata: map[string]string{"team": "search"}})
	for jobs.Next() {
		fmt.Println(jobs.Item().ID, jobs.Item().Err())
	}
	if err := jobs.Err(); err != nil {
		log.Fatal(err)
	}
}

func ExampleVerifyWebhook() {
	var seen fusionai.SeenEvents // one for the process
	secret := os.Getenv("WEBHOOK_SECRET")
	http.HandleFunc("/hooks", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			return
		}
		event, err := fusionai.VerifyWebhook(body, r.Header, []string{secret}, fusionai.WithSeen(seen.Seen))
		var refused *fusionai.WebhookError
		switch {
		case errors.As(err, &refused) && refused.Reason == fusionai.Replayed:
			return // it has been acted on: 200
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Println(event.Type, event.ID)
	})
}

func ExampleAmount() {
	spent := fusionai.Amount("0.0592").Rat()
	spent.Add(spent, fusionai.Amount("0.000001").Rat())
	fmt.Println(spent.FloatString(6))
	// Output: 0.059201
}
