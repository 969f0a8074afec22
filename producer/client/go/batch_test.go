package fusionai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

// hub is a server with one batch, whose jobs end as a test says.
type hub struct {
	// ended are the jobs that have, at each look at the batch; after the last the batch is over.
	ended []string
	lines []string
	looks int
	// listed is how often results were listed.
	listed int
	// gone: the first upload's file has been deleted. spoiled: the first batch has failed as a whole.
	gone, spoiled bool
	lists         func(w http.ResponseWriter) bool
}

func (h *hub) status(line string) string {
	if h.looks > len(h.ended) || strings.Contains(h.ended[h.looks-1], line) {
		return "succeeded"
	}
	return "running"
}

func (h *hub) answer(w http.ResponseWriter, r asked, _ int) {
	switch {
	case r.path == "/files":
		h.replay(w, r, "file")
	case r.path == "/batches" && strings.Contains(r.body, "gone"):
		refuse(w, 404, "not_found")
	case r.path == "/files/gone":
		refuse(w, 404, "not_found")
	case r.path == "/batches":
		h.replay(w, r, "batch")
	case r.path == "/batches/spoiled":
		fmt.Fprint(w, `{"id": "spoiled", "status": "failed"}`)
	case strings.HasSuffix(r.path, "/results"):
		h.list(w, r)
	case strings.HasPrefix(r.path, "/batches/"):
		h.look(w)
	case r.path == "/files/out/content":
		for at := len(h.lines) - 1; at >= 0; at-- {
			fmt.Fprintf(w, "{\"custom_id\": %q, \"response\": {\"status_code\": 200, \"request_id\": \"j\", \"body\": %s}}\n", h.lines[at], answered)
		}
	}
}

// replay answers a POST as the server does one whose key it knows, if this is the first of its kind.
func (h *hub) replay(w http.ResponseWriter, r asked, kind string) {
	first := map[string]*bool{"file": &h.gone, "batch": &h.spoiled}[kind]
	if *first {
		*first = false
		w.Header().Set("Idempotent-Replayed", "true")
		fmt.Fprintf(w, `{"id": %q}`, map[string]string{"file": "gone", "batch": "spoiled"}[kind])
		return
	}
	fmt.Fprintf(w, `{"id": "%s_1", "status": "validating"}`, kind)
}

func (h *hub) look(w http.ResponseWriter) {
	h.looks++
	done, status, file := 0, "in_progress", ""
	for _, line := range h.lines {
		if h.status(line) == "succeeded" {
			done++
		}
	}
	if h.looks > len(h.ended) {
		status, file = "completed", "out"
	}
	fmt.Fprintf(w, `{"id": "batch_1", "status": %q, "output_file_id": %q,
		"request_counts": {"total": %d, "completed": %d, "failed": 0}}`, status, file, len(h.lines), done)
}

// list gives the lines that have ended, in that order, two at a time.
func (h *hub) list(w http.ResponseWriter, r asked) {
	h.listed++
	if h.lists != nil && h.lists(w) {
		return
	}
	var ended []string
	for _, names := range h.ended[:h.looks] {
		for _, name := range strings.Split(names, "") {
			if !contains(ended, name) {
				ended = append(ended, name)
			}
		}
	}
	query, _ := url.ParseQuery(r.query)
	after := query.Get("after")
	for at, name := range ended {
		if name == after {
			ended = ended[at+1:]
			break
		}
	}
	more := len(ended) > 2
	if more {
		ended = ended[:2]
	}
	var data []string
	for _, name := range ended {
		data = append(data, fmt.Sprintf(`{"id": %q, "custom_id": %q, "response": {"status_code": 200, "request_id": "j", "body": %s}}`,
			name, name, answered))
		after = name
	}
	fmt.Fprintf(w, `{"data": [%s], "last_id": %q, "has_more": %t}`, strings.Join(data, ","), after, more)
}

func contains(all []string, one string) bool {
	for _, name := range all {
		if name == one {
			return true
		}
	}
	return false
}

func batchOf(t *testing.T, h *hub, wanted BatchOptions) (*BatchRun, *served) {
	t.Helper()
	client, came := serve(t, h.answer)
	var requests []BatchRequest
	for _, line := range h.lines {
		requests = append(requests, BatchRequest{CustomID: line, Body: hello})
	}
	run, err := client.Batch(context.Background(), requests, wanted)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { run.Close() })
	return run, came
}

func ids(run *BatchRun) []string {
	var found []string
	for run.Next() {
		found = append(found, run.Result().CustomID)
	}
	return found
}

func TestResultsComeAsTheyFinishAndEachOnce(t *testing.T) {
	h := &hub{lines: []string{"a", "b", "c", "d"}, ended: []string{"", "b", "b", "bd"}}
	var progress []BatchProgress
	run, _ := batchOf(t, h, BatchOptions{OnProgress: func(p BatchProgress) { progress = append(progress, p) }})
	if found := ids(run); !reflect.DeepEqual(found, []string{"b", "d", "c", "a"}) || run.Err() != nil {
		t.Error(found, run.Err())
	}
	wanted := []BatchProgress{{0, 0, 4}, {1, 0, 4}, {2, 0, 4}, {4, 0, 4}}
	if !reflect.DeepEqual(progress, wanted) || run.Progress() != wanted[3] {
		t.Error(progress)
	}
	if h.listed != 2 {
		t.Errorf("results were listed %d times, and not once after each look that had new ones", h.listed)
	}
}

func TestResultsThatWereReadAreNotAskedForAgain(t *testing.T) {
	h := &hub{lines: []string{"a", "b", "c", "d"}, ended: []string{"b", "bd", "bda", "bdac"}}
	run, came := batchOf(t, h, BatchOptions{})
	if found := ids(run); !reflect.DeepEqual(found, []string{"b", "d", "a", "c"}) {
		t.Error(found)
	}
	var last string
	for _, one := range came.list() {
		if strings.HasSuffix(one.path, "/results") {
			last = one.query
		}
		if strings.HasPrefix(one.path, "/files/") {
			t.Error("a file was read of which all had been given")
		}
	}
	if !strings.Contains(last, "after=a") {
		t.Error(last)
	}
}

func TestLooksArePausedBetweenHoweverManyResultsCome(t *testing.T) {
	h := &hub{lines: []string{"a", "b", "c", "d"}, ended: []string{"a", "ab", "abc", "abcd"}}
	run, _ := batchOf(t, h, BatchOptions{})
	pauses := 0
	run.client.settings.pause = func(context.Context, time.Duration) error { pauses++; return nil }
	if found := ids(run); len(found) != 4 || pauses != 4 {
		t.Error(found, pauses)
	}
}

func TestALineOfWhichNothingIsSaidHasAnError(t *testing.T) {
	h := &hub{lines: []string{"a"}}
	run, _ := batchOf(t, h, BatchOptions{})
	run.parts[0].customs = []string{"a", "forgotten"}
	results, err := run.All()
	if err != nil || len(results) != 2 || results[1].Err == nil || results[1].Err.Code != "batch_completed" {
		t.Error(results, err)
	}
}

func TestAServerThatListsNoResultsGivesThemAtTheEnd(t *testing.T) {
	h := &hub{lines: []string{"a", "b"}, ended: []string{"a", "a"}}
	h.lists = func(w http.ResponseWriter) bool { refuse(w, 403, "forbidden"); return true }
	run, _ := batchOf(t, h, BatchOptions{})
	if found := ids(run); !reflect.DeepEqual(found, []string{"b", "a"}) || run.Err() != nil || h.listed != 1 {
		t.Error(found, run.Err(), h.listed)
	}
}

func TestAllComeInTheOrderOfTheRequests(t *testing.T) {
	h := &hub{lines: []string{"a", "b", "c"}, ended: []string{"b"}}
	run, _ := batchOf(t, h, BatchOptions{})
	results, err := run.All()
	if err != nil || len(results) != 3 || results[0].CustomID != "a" || results[2].CustomID != "c" || h.listed != 0 {
		t.Error(results, err, h.listed)
	}
	if chat, err := results[1].Chat(); err != nil || chat.Content() != "Hi." {
		t.Error(err)
	}
}

func TestWhatWasHandledIsLeftOut(t *testing.T) {
	h := &hub{lines: []string{"a", "b", "c"}, ended: []string{"ab"}}
	run, _ := batchOf(t, h, BatchOptions{Skip: func(id string) bool { return id != "c" }})
	if found := ids(run); !reflect.DeepEqual(found, []string{"c"}) {
		t.Error(found)
	}
}

func TestAFileThatIsGoneIsSentAgain(t *testing.T) {
	run, came := batchOf(t, &hub{lines: []string{"a"}, gone: true}, BatchOptions{})
	if found := ids(run); !reflect.DeepEqual(found, []string{"a"}) {
		t.Error(found)
	}
	if keys := keysOfPosts(came, "/files"); len(keys) != 2 || keys[0] == keys[1] {
		t.Error(keys)
	}
	if keys := keysOfPosts(came, "/batches"); len(keys) != 2 || keys[0] != keys[1] {
		t.Error(keys)
	}
}

func TestABatchThatHadFailedIsMadeAnew(t *testing.T) {
	run, came := batchOf(t, &hub{lines: []string{"a"}, spoiled: true}, BatchOptions{})
	if found := ids(run); !reflect.DeepEqual(found, []string{"a"}) || run.IDs()[0] != "batch_1" {
		t.Error(found, run.IDs())
	}
	if keys := keysOfPosts(came, "/batches"); len(keys) != 2 || keys[0] == keys[1] {
		t.Error(keys)
	}
}

func keysOfPosts(came *served, path string) []string {
	var keys []string
	for _, one := range came.list() {
		if one.method == http.MethodPost && one.path == path {
			keys = append(keys, one.header.Get("Idempotency-Key"))
		}
	}
	return keys
}

func TestKeysDependOnTheContentAndTheCallersKey(t *testing.T) {
	keys := map[string]bool{}
	for _, salt := range []string{"", "a", "a"} {
		for _, line := range []string{"x", "y"} {
			_, came := batchOf(t, &hub{lines: []string{line}}, BatchOptions{Key: salt})
			keys[keysOfPosts(came, "/files")[0]] = true
			keys[keysOfPosts(came, "/batches")[0]] = true
		}
	}
	if len(keys) != 8 {
		t.Error("two salts, two contents and two purposes are not eight keys:", len(keys))
	}
}

func TestMoreRequestsThanABatchTakesBecomeSeveral(t *testing.T) {
	requests := make([]BatchRequest, mostLines+1)
	for at := range requests {
		requests[at].Body = json.RawMessage(`{"model":"gpt-4"}`)
	}
	parts, err := encode(requests, nil)
	if err != nil || len(parts) != 2 || len(parts[0].customs) != mostLines || parts[1].customs[0] != "line-50001" {
		t.Fatal(len(parts), err)
	}
	for _, one := range parts {
		one.close()
	}
	whole := &part{bytes: mostFileBytes - 10}
	if !whole.fits(make([]byte, 10)) || whole.fits(make([]byte, 11)) {
		t.Error("a file may be larger than the server takes")
	}
}

func TestACustomIDIsThereOnce(t *testing.T) {
	twice := []BatchRequest{{CustomID: "a", Body: hello}, {CustomID: "a", Body: hello}}
	if _, err := encode(twice, nil); err == nil {
		t.Error("results could not be told apart")
	}
	if _, err := encode([]BatchRequest{{Body: hello}, {CustomID: "line-1", Body: hello}}, nil); err == nil {
		t.Error("an id that was made is there twice")
	}
}

func TestTheCheapTierIsOfModelsThatHaveIt(t *testing.T) {
	cheap := map[string]bool{"gpt-4": true}
	for body, wanted := range map[string]bool{
		`{"model":"gpt-4"}`: true, `{"model":"other"}`: false, `{"model":"gpt-4","service_tier":"default"}`: false,
		`{"model":{"llms":["gpt-4"]}}`: false, `{"model":"gpt-4","service_tier":null}`: true,
	} {
		line, err := encodeLine(BatchRequest{Body: json.RawMessage(body)}, cheap)
		if err != nil || strings.Contains(string(line), `"service_tier":"flex"`) != wanted {
			t.Errorf("%s became %s, %v", body, line, err)
		}
	}
}

func TestAnEmptyBatchIsNone(t *testing.T) {
	client, came := serve(t, func(w http.ResponseWriter, _ asked, _ int) { refuse(w, 500, "internal_error") })
	run, err := client.Batch(context.Background(), nil, BatchOptions{Tier: TierCheapest})
	if err != nil || run.Next() || run.Err() != nil || len(came.list()) != 0 {
		t.Error(err)
	}
	if _, err := client.Batch(context.Background(), []BatchRequest{{Body: hello}}, BatchOptions{Tier: "gold"}); err == nil {
		t.Error("there is no such tier")
	}
}

func TestAFileOfResultsThatIsNoneIsAnError(t *testing.T) {
	file := newResultFile(io.NopCloser(strings.NewReader("{\"custom_id\": \"a\"}\n\nnonsense\n")))
	if one, err := file.next(); err != nil || one.CustomID != "a" {
		t.Error(err)
	}
	if _, err := file.next(); !errors.Is(err, ErrUnexpected) {
		t.Error(err)
	}
	if _, err := file.next(); err != io.EOF {
		t.Error(err)
	}
}
