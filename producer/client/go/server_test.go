package fusionai

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// asked is a request that a test's server got.
type asked struct {
	method, path, query, body string
	header                    http.Header
}

// served are the requests that a test's server got.
type served struct {
	mutex sync.Mutex
	all   []asked
}

func (s *served) list() []asked {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]asked(nil), s.all...)
}

// serve has requests answered by a function, which is given how many came before; and a client without pauses for it.
func serve(t *testing.T, answer func(w http.ResponseWriter, r asked, before int), options ...Option) (*Client, *served) {
	t.Helper()
	came := &served{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		one := asked{r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Header}
		came.mutex.Lock()
		before := len(came.all)
		came.all = append(came.all, one)
		came.mutex.Unlock()
		answer(w, one, before)
	}))
	t.Cleanup(server.Close)
	client := New("fusionai_test_key", append([]Option{WithBaseURL(server.URL), WithHTTPClient(server.Client())}, options...)...)
	client.settings.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return client, came
}

func refuse(w http.ResponseWriter, status int, kind string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error": {"message": "no", "type": %q, "code": %d}}`, kind, status)
}

const answered = `{"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}}]}`
