package fusionai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
)

func TestEveryPageIsReadToTheLast(t *testing.T) {
	pages := map[string]string{
		"":    `{"data": [{"id": "a"}, {"id": "b"}], "last_id": "b", "has_more": true}`,
		"b":   `{"data": [], "last_id": "x", "has_more": true}`,
		"x":   `{"data": [{"id": "y"}], "last_id": "y", "has_more": false}`,
		"y":   `{"data": [{"id": "never"}], "last_id": "never", "has_more": false}`,
		"odd": `{"data": [{"id": "c"}], "last_id": "odd", "has_more": true}`,
	}
	client, came := serve(t, func(w http.ResponseWriter, r asked, _ int) {
		query, _ := url.ParseQuery(r.query)
		fmt.Fprint(w, pages[query.Get("after")])
	})
	found := ""
	jobs := client.Jobs.All(context.Background(), JobFilter{Status: "failed"})
	for jobs.Next() {
		found += jobs.Item().ID
	}
	if found != "aby" || jobs.Err() != nil || len(came.list()) != 3 || jobs.Next() {
		t.Error(found, jobs.Err(), len(came.list()))
	}
	if last := came.list()[2].query; last != "after=x&limit=100&status=failed" {
		t.Error(last)
	}
	odd := client.Jobs.All(context.Background(), JobFilter{ListOptions: ListOptions{After: "odd"}})
	for odd.Next() {
		found = odd.Item().ID
	}
	if found != "c" || !errors.Is(odd.Err(), ErrUnexpected) {
		t.Error("a list that does not go on is read for ever", odd.Err())
	}
}
