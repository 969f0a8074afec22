package fusionai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

var hello = ChatRequest{Model: "gpt-4", Messages: []Message{User("Hello.")}}

func TestEveryTryIsTheSameRequest(t *testing.T) {
	client, came := serve(t, func(w http.ResponseWriter, _ asked, before int) {
		if before < 3 {
			refuse(w, 503, "unavailable")
			return
		}
		io.WriteString(w, answered)
	})
	answer, err := client.Chat.Create(context.Background(), hello)
	if err != nil || answer.Content() != "Hi." {
		t.Fatal(answer, err)
	}
	tries := came.list()
	for _, try := range tries {
		if try.header.Get("Idempotency-Key") != tries[0].header.Get("Idempotency-Key") || try.body != tries[0].body {
			t.Errorf("%+v", try)
		}
	}
	if len(tries) != 4 || len(tries[0].header.Get("Idempotency-Key")) < 32 {
		t.Error(len(tries))
	}
}

func TestACallIsTriedAsOftenAsItIsTold(t *testing.T) {
	for retries, wanted := range map[int]int{0: 1, 1: 2, 5: 6} {
		client, came := serve(t, func(w http.ResponseWriter, _ asked, _ int) { refuse(w, 502, "upstream_error") })
		if _, err := client.Chat.Create(context.Background(), hello, WithRetries(retries)); !errors.Is(err, ErrUpstream) {
			t.Error(err)
		}
		if count := len(came.list()); count != wanted {
			t.Errorf("%d requests with %d retries", count, retries)
		}
	}
}

func TestNoTwoCallsHaveTheSameKey(t *testing.T) {
	client, came := serve(t, func(w http.ResponseWriter, _ asked, _ int) { io.WriteString(w, answered) })
	for n := 0; n < 2; n++ {
		if _, err := client.Chat.Create(context.Background(), hello); err != nil {
			t.Fatal(err)
		}
	}
	if calls := came.list(); calls[0].header.Get("Idempotency-Key") == calls[1].header.Get("Idempotency-Key") {
		t.Error("the second would be given the answer of the first")
	}
}

func TestAKeyOfOneCallIsNotThatOfAll(t *testing.T) {
	client, came := serve(t, func(w http.ResponseWriter, _ asked, _ int) { io.WriteString(w, answered) }, WithIdempotencyKey("all"))
	if _, err := client.Chat.Create(context.Background(), hello); err != nil {
		t.Fatal(err)
	}
	if key := came.list()[0].header.Get("Idempotency-Key"); key == "all" {
		t.Error("every call would be given the answer of the first")
	}
}

func TestAHeaderOfOneCallIsOfThatAlone(t *testing.T) {
	client, came := serve(t, func(w http.ResponseWriter, _ asked, _ int) { io.WriteString(w, answered) }, WithHeader("X-All", "1"))
	if _, err := client.Chat.Create(context.Background(), hello, WithHeader("X-One", "1")); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Chat.Create(context.Background(), hello); err != nil {
		t.Fatal(err)
	}
	first, second := came.list()[0].header, came.list()[1].header
	if first.Get("X-All") != "1" || first.Get("X-One") != "1" || second.Get("X-All") != "1" || second.Get("X-One") != "" {
		t.Error(first, second)
	}
}

func TestACancelledCallIsNotTriedAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	client, came := serve(t, func(w http.ResponseWriter, _ asked, _ int) {
		cancel()
		refuse(w, 503, "unavailable")
	})
	_, err := client.Chat.Create(ctx, hello)
	if !errors.Is(err, context.Canceled) && !errors.Is(err, ErrUnavailable) || len(came.list()) != 1 {
		t.Error(len(came.list()), err)
	}
}

func TestADeadlineBeforeTheNextTryIsNotWaitedFor(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, came := serve(t, func(w http.ResponseWriter, _ asked, _ int) {
		w.Header().Set("Retry-After", "30")
		refuse(w, 429, "rate_limit_exceeded")
	})
	var failure *Error
	_, err := client.Chat.Create(ctx, hello)
	if !errors.Is(err, ErrRateLimit) || !errors.As(err, &failure) || failure.RetryAfter != 30*time.Second {
		t.Error(err)
	}
	if len(came.list()) != 1 || !failure.Retryable() {
		t.Error(len(came.list()))
	}
}

func TestALongRetryAfterIsForTheCaller(t *testing.T) {
	client, came := serve(t, func(w http.ResponseWriter, _ asked, _ int) {
		w.Header().Set("Retry-After", "3600")
		refuse(w, 429, "rate_limit_exceeded")
	})
	if _, err := client.Credits.Get(context.Background()); !errors.Is(err, ErrRateLimit) || len(came.list()) != 1 {
		t.Error(len(came.list()), err)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	client, came := serve(t, func(w http.ResponseWriter, r asked, _ int) {
		if r.path == "/credits" {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	})
	client.settings.http = newHTTPClient()
	var failure *Error
	_, err := client.Credits.Get(context.Background())
	if !errors.As(err, &failure) || failure.Status != 307 || len(came.list()) != 1 {
		t.Error(err)
	}
}

func TestTheKeyIsShownNowhere(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, _ asked, _ int) { refuse(w, 401, "unauthorized") })
	_, err := client.Credits.Get(context.Background())
	lost := New("fusionai_test_key", WithBaseURL("http://127.0.0.1:1"), WithRetries(0))
	_, unreachable := lost.Credits.Get(context.Background())
	for _, shown := range []any{client, *client, err, unreachable} {
		for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(form, shown); strings.Contains(text, "fusionai_test_key") {
				t.Errorf("%s shows it: %s", form, text)
			}
		}
	}
	odd := New("fusionai_test_key\nfusionai_test_key", WithBaseURL("http://127.0.0.1:1"), WithRetries(0))
	if _, err := odd.Credits.Get(context.Background()); err == nil || strings.Contains(err.Error(), "fusionai_test_key") {
		t.Error(err)
	}
	if !errors.Is(unreachable, ErrConnection) {
		t.Error(unreachable)
	}
}

func TestAnotherServersAnswerIsUnexpected(t *testing.T) {
	for _, text := range []string{"<html>welcome</html>", "[]", `"ok"`, "", `{"available": "much"}`} {
		client, came := serve(t, func(w http.ResponseWriter, _ asked, _ int) { io.WriteString(w, text) })
		if _, err := client.Credits.Get(context.Background()); !errors.Is(err, ErrUnexpected) || len(came.list()) != 1 {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTheEnvironmentSaysWhereAndWho(t *testing.T) {
	t.Setenv("FUSIONAI_BASE_URL", "http://127.0.0.1:9/v1/")
	t.Setenv("FUSIONAI_API_KEY", "fusionai_test_env\n")
	client := New("")
	if client.settings.baseURL != "http://127.0.0.1:9/v1" || client.settings.key != "fusionai_test_env" {
		t.Error(client)
	}
	if own := New("k", WithBaseURL("http://127.0.0.1:8/v1")); own.settings.baseURL != "http://127.0.0.1:8/v1" || own.settings.key != "k" {
		t.Error(own)
	}
}

func TestWithoutAKeyNothingIsSent(t *testing.T) {
	t.Setenv("FUSIONAI_API_KEY", "")
	client := New("", WithBaseURL("http://127.0.0.1:1"))
	if _, err := client.Credits.Get(context.Background()); err == nil || !strings.Contains(err.Error(), "FUSIONAI_API_KEY") {
		t.Error(err)
	}
}

func TestAnUploadIsTheSameAgain(t *testing.T) {
	client, came := serve(t, func(w http.ResponseWriter, _ asked, before int) {
		if before == 0 {
			refuse(w, 500, "internal_error")
			return
		}
		io.WriteString(w, `{"id": "file_1"}`)
	})
	content := strings.NewReader("{\"custom_id\": \"ü\"}\n")
	content.Seek(5, io.SeekStart)
	upload := FileUpload{Filename: "a.jsonl", Content: content, ExpiresSeconds: 3600}
	if _, err := client.Files.Upload(context.Background(), upload); err != nil {
		t.Fatal(err)
	}
	tries := came.list()
	if tries[0].body != tries[1].body || !strings.Contains(tries[0].body, "{\"custom_id\": \"ü\"}\n") {
		t.Error(tries[0].body, tries[1].body)
	}
	if !strings.Contains(tries[0].body, "expires_after[seconds]") || tries[0].header.Get("Content-Length") == "" {
		t.Error(tries[0])
	}
}

func TestErrorsAreWhatTheirStatusSays(t *testing.T) {
	failure := refusal(402, http.Header{"X-Request-Id": {"req_h"}}, []byte(`{"error": {"message": "too little",
		"type": "insufficient_credits", "code": 402, "required_credits": 10.000001, "param": null}}`), time.Now())
	if !errors.Is(failure, ErrInsufficientCredits) || !errors.Is(failure, ErrStatus) || errors.Is(failure, ErrRateLimit) {
		t.Error(failure)
	}
	if string(failure.Details["required_credits"]) != "10.000001" || failure.RequestID != "req_h" || failure.Retryable() {
		t.Errorf("%+v", failure)
	}
	if text := failure.Error(); text != "fusionai: 402 insufficient_credits: too little (request req_h)" {
		t.Error(text)
	}
	job := Job{ID: "job_1", Status: "failed", Error: &Error{Status: 400, Reason: "content_filter", Message: "no"}}
	if err := job.Err(); !errors.As(err, &failure) || failure.JobID != "job_1" || !errors.Is(err, ErrBadRequest) {
		t.Error(err)
	}
	if err := (Job{Status: "expired"}).Err(); !errors.Is(err, ErrJob) {
		t.Error(err)
	}
	if (Job{Status: "running"}).Err() != nil || (Job{Status: "succeeded"}).Err() != nil {
		t.Error("a job that is well has an error")
	}
}
