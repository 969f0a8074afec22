package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	fusionai "github.com/fusionai/sdk-go"
)

var errLost = errors.New("the connection was lost")

// A lossy transport loses every second answer, after the server gave it.
type lossy struct{ count int64 }

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && atomic.AddInt64(&l.count, 1)%2 == 1 {
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		return nil, errLost
	}
	return answer, err
}

// A cutting transport cuts streams of jobs, each a little later than the one before.
type cutting struct{ count int }

func (c *cutting) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, "/stream") {
		c.count++
		answer.Body = &cutBody{answer.Body, 700 * c.count}
	}
	return answer, err
}

type cutBody struct {
	io.ReadCloser
	left int
}

func (b *cutBody) Read(data []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLost
	}
	if len(data) > b.left {
		data = data[:b.left]
	}
	count, err := b.ReadCloser.Read(data)
	b.left -= count
	return count, err
}

func through(t *testing.T, transport http.RoundTripper) *fusionai.Client {
	t.Helper()
	options := []fusionai.Option{
		fusionai.WithBaseURL(given(t, "URL")), fusionai.WithHTTPClient(&http.Client{Transport: transport}),
	}
	return fusionai.New(given(t, "LIVE_KEY"), options...)
}

func TestAnswersThatAreLostBuyNothingTwice(t *testing.T) {
	client, ctx := through(t, &lossy{}), within(t)
	run := map[string]string{"run": fmt.Sprint(time.Now().UnixNano())}
	for n := 0; n < 3; n++ {
		request := asked(fmt.Sprint("lost ", n))
		request.Metadata = run
		if answer := must(client.Chat.Create(ctx, request))(t); !answer.Meta.Replayed {
			t.Error("the first answer was not lost")
		}
		must(client.Jobs.Submit(ctx, fusionai.ChatJob(request)))(t)
	}
	if count := must(live(t).Jobs.Count(ctx, fusionai.JobFilter{Metadata: run}))(t); count.Count != 6 {
		t.Error("six calls made", count.Count, "jobs")
	}
	request := asked("a line " + run["run"])
	request.Metadata = run
	batch := must(client.Batch(ctx, []fusionai.BatchRequest{{Body: request}}, fusionai.BatchOptions{}))(t)
	if results := must(batch.All())(t); len(results) != 1 || results[0].Err != nil {
		t.Errorf("%+v", results)
	}
	if count := must(live(t).Jobs.Count(ctx, fusionai.JobFilter{BatchID: batch.IDs()[0]}))(t); count.Count != 1 {
		t.Errorf("%+v", count)
	}
}

func TestAStreamThatIsCutAgainAndAgainIsWhole(t *testing.T) {
	scripted(t, rule{"contains": "in pieces", "fault": rule{"answer_tokens": 60}})
	ctx, cutter := within(t), &cutting{}
	request := asked("in pieces")
	request.MaxTokens = 100
	job := must(live(t).Jobs.Submit(ctx, fusionai.ChatJob(request)))(t)
	whole := must(must(live(t).Jobs.Wait(ctx, job.ID))(t).Chat())(t)
	stream := must(through(t, cutter).Jobs.Stream(ctx, job.ID, ""))(t)
	defer stream.Close()
	made := must(stream.Collect())(t)
	if made.Content() != whole.Content() || made.Choices[0].FinishReason != "stop" || cutter.count < 2 {
		t.Errorf("%d pieces made %q, not %q", cutter.count, made.Content(), whole.Content())
	}
	if made.Usage.CreditsUsed.Cmp(whole.Usage.CreditsUsed) != 0 {
		t.Error(made.Usage, whole.Usage)
	}
}
