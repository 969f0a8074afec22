package fusionai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// endless answers with a stream that says something and then nothing, until its reader leaves.
func endless(w http.ResponseWriter, _ asked, _ int) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "data: %s\n\n", `{"choices": [{"index": 0, "delta": {"content": "a"}}]}`)
	w.(http.Flusher).Flush()
	time.Sleep(50 * time.Millisecond)
}

func TestStreamsThatAreLeftLeaveNothingBehind(t *testing.T) {
	client, _ := serve(t, endless, WithRetries(0))
	before := runtime.NumGoroutine()
	for at := 0; at < 20; at++ {
		ctx, cancel := context.WithCancel(context.Background())
		stream, err := client.Chat.Stream(ctx, hello)
		if err != nil || !stream.Next() {
			t.Fatal(err)
		}
		if at%2 == 0 {
			cancel()
			if stream.Next() || !errors.Is(stream.Err(), context.Canceled) {
				t.Error(stream.Err())
			}
		}
		stream.Close()
		if stream.Next() {
			t.Error("a stream that was closed goes on")
		}
		cancel()
	}
	client.settings.http.CloseIdleConnections()
	for until := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+2; runtime.Gosched() {
		if time.Now().After(until) {
			t.Fatalf("%d goroutines became %d", before, runtime.NumGoroutine())
		}
	}
}

func TestAChoiceOfNoSuchNumberIsPassedOver(t *testing.T) {
	var made collector
	made.add(ChatChunk{Choices: []ChunkChoice{{Index: -1}, {Index: 1 << 40}, {Index: 0, Delta: Message{Content: "a"}}}})
	if whole := made.completion(Meta{}); len(whole.Choices) != 1 || whole.Content() != "a" {
		t.Error(whole.Choices)
	}
}

func TestAClientOfYoursFollowsNoRedirectUnlessItSaysSo(t *testing.T) {
	client, came := serve(t, func(w http.ResponseWriter, r asked, _ int) {
		if r.path == "/credits" {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusFound)
			return
		}
		fmt.Fprint(w, `{"object": "credits"}`)
	})
	if _, err := client.Credits.Get(context.Background()); err == nil || len(came.list()) != 1 {
		t.Error(err)
	}
	follows := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	if _, err := client.Credits.Get(context.Background(), WithHTTPClient(follows)); err != nil {
		t.Error(err)
	}
}
