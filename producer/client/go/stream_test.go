package fusionai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

func piece(text string) string {
	return fmt.Sprintf("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", text)
}

func streams(w http.ResponseWriter, parts ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("FusionAI-Job-Id", "job_1")
	for _, part := range parts {
		io.WriteString(w, part)
	}
	w.(http.Flusher).Flush()
}

func readAll(stream *ChatStream) string {
	text := ""
	for stream.Next() {
		text += stream.Chunk().Content()
	}
	return text
}

func TestAStreamEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	client, came := serve(t, func(w http.ResponseWriter, _ asked, _ int) {
		streams(w, piece("a"))
		<-ctx.Done()
	})
	stream, err := client.Chat.Stream(ctx, hello)
	if err != nil || !stream.Next() {
		t.Fatal(err)
	}
	cancel()
	if stream.Next() || errors.Is(stream.Err(), ErrStreamCut) || !errors.Is(stream.Err(), context.Canceled) || len(came.list()) != 1 {
		t.Error(stream.Err())
	}
}

func TestAStreamThatIsClosedIsOver(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, _ asked, _ int) { streams(w, piece("a"), piece("b")) })
	stream, err := client.Chat.Stream(context.Background(), hello)
	if err != nil || !stream.Next() {
		t.Fatal(err)
	}
	stream.Close()
	stream.Close()
	if stream.Next() || stream.Err() != nil {
		t.Error(stream.Err())
	}
}

func TestAnAnswerThatIsNoStreamIsUnexpected(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, _ asked, _ int) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, answered)
	})
	if _, err := client.Chat.Stream(context.Background(), hello); !errors.Is(err, ErrUnexpected) {
		t.Error(err)
	}
}

func TestTheRestOfACutStreamIsReadFromItsJob(t *testing.T) {
	client, came := serve(t, func(w http.ResponseWriter, r asked, _ int) {
		if r.method == http.MethodPost {
			streams(w, "id: e-1\n"+piece("Hel"), "id: e-2\n"+piece("lo, "))
			return
		}
		streams(w, "id: e-3\n"+piece("world."), "data: [DONE]\n\n")
	})
	stream, err := client.Chat.Stream(context.Background(), hello)
	if err != nil {
		t.Fatal(err)
	}
	text := readAll(stream)
	var cut *Error
	if !errors.As(stream.Err(), &cut) || !errors.Is(cut, ErrStreamCut) || !errors.Is(cut, io.ErrUnexpectedEOF) {
		t.Fatal(stream.Err())
	}
	rest, err := client.Jobs.Stream(context.Background(), cut.JobID, cut.LastEventID)
	if err != nil {
		t.Fatal(err)
	}
	if text += readAll(rest); text != "Hello, world." || rest.Err() != nil {
		t.Error(text, rest.Err())
	}
	if ids := came.list()[0].header.Get("FusionAI-Stream-Ids"); ids != "true" {
		t.Error("the server would send no ids")
	}
}

func TestSilenceIsATimeoutAndLostOnesAreReadOn(t *testing.T) {
	silent := make(chan struct{})
	defer close(silent)
	client, came := serve(t, func(w http.ResponseWriter, _ asked, before int) {
		if before == 0 {
			streams(w, "id: e-1\n"+piece("a"))
			<-silent
			return
		}
		streams(w, "id: e-2\n"+piece("b"), "data: [DONE]\n\n")
	}, WithStreamTimeout(200*time.Millisecond))
	stream, err := client.Jobs.Stream(context.Background(), "job_1", "")
	if err != nil {
		t.Fatal(err)
	}
	if text := readAll(stream); text != "ab" || stream.Err() != nil {
		t.Error(text, stream.Err())
	}
	if last := came.list()[1].header.Get("Last-Event-Id"); last != "e-1" {
		t.Error(last)
	}
}

func TestAStreamIsCollected(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, _ asked, _ int) {
		streams(w, piece("Hel"), piece("lo"),
			`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{\"x"}}]}}]}`+"\n\n",
			`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}}]}`+"\n\n",
			`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"\":1}"}}]},"finish_reason":"tool_calls"}]}`+"\n\n",
			`data: {"choices":[{"index":2,"delta":{"content":"third"}}]}`+"\n\n",
			`data: {"choices":[],"usage":{"total_tokens":7,"credits_used":0.000001}}`+"\n\n", "data: [DONE]\n\n")
	})
	stream, err := client.Chat.Stream(context.Background(), hello)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := stream.Collect()
	if err != nil || whole.Content() != "Hello" || len(whole.Choices) != 3 || whole.Choices[2].Message.Content != "third" {
		t.Fatalf("%+v, %v", whole, err)
	}
	calls := whole.Choices[0].Message.ToolCalls
	if len(calls) != 2 || calls[0].ID != "b" || calls[0].Function.Arguments != `{"x":1}` || calls[1].Function.Name != "f" {
		t.Errorf("%+v", calls)
	}
	if whole.Usage.CreditsUsed != "0.000001" || whole.Choices[0].FinishReason != "tool_calls" || whole.Meta.JobID != "job_1" {
		t.Errorf("%+v", whole)
	}
}

func TestWithoutATimeoutTheContextAloneEndsACall(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	client, came := serve(t, func(w http.ResponseWriter, _ asked, _ int) { <-ctx.Done() }, WithTimeout(0))
	if _, err := client.Chat.Create(ctx, hello); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if prefer := came.list()[0].header.Get("Prefer"); prefer != "" {
		t.Error(prefer)
	}
}

func TestAServerThatIsReplacedIsWaitedFor(t *testing.T) {
	client, came := serve(t, func(w http.ResponseWriter, _ asked, before int) {
		switch {
		case before == 0:
			streams(w, "id: e-1\n"+piece("a"), `data: {"error": {"message": "the server stops", "code": 503, "last_event_id": "e-1"}}`+"\n\n")
		case before < 7:
			refuse(w, 503, "unavailable")
		default:
			streams(w, "id: e-2\n"+piece("b"), "data: [DONE]\n\n")
		}
	})
	stream, err := client.Jobs.Stream(context.Background(), "job_1", "")
	if err != nil {
		t.Fatal(err)
	}
	if text := readAll(stream); text != "ab" || stream.Err() != nil || len(came.list()) != 8 {
		t.Error(text, stream.Err(), len(came.list()))
	}
}

func TestAServerThatStaysAwayIsGivenUp(t *testing.T) {
	client, came := serve(t, func(w http.ResponseWriter, _ asked, before int) {
		if before == 0 {
			streams(w, "id: e-1\n"+piece("a"))
			return
		}
		refuse(w, 503, "unavailable")
	}, WithRetries(1))
	stream, err := client.Jobs.Stream(context.Background(), "job_1", "")
	if err != nil {
		t.Fatal(err)
	}
	var cut *Error
	if text := readAll(stream); text != "a" || !errors.As(stream.Err(), &cut) || cut.LastEventID != "e-1" || len(came.list()) != 3 {
		t.Error(text, stream.Err(), len(came.list()))
	}
}
