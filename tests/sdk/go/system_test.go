package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	fusionai "github.com/fusionai/sdk-go"
)

// These tests call a running system: `make test-go` starts it, and says where it is.

func given(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv("FUSIONAI_TEST_" + name)
	if value == "" {
		t.Fatal("run these tests with `make test-go`")
	}
	return value
}

func live(t *testing.T) *fusionai.Client {
	t.Helper()
	return fusionai.New(given(t, "LIVE_KEY"), fusionai.WithBaseURL(given(t, "URL")))
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func asked(text string) fusionai.ChatRequest {
	return fusionai.ChatRequest{Model: "gpt-4", Messages: []fusionai.Message{fusionai.User(text)}, MaxTokens: 50}
}

// A rule says when a provider fails, and how: see workers/simulator.
type rule map[string]any

func slow(contains string, seconds int) rule {
	return rule{"contains": contains, "fault": rule{"latency_seconds": seconds}}
}

// scripted has the providers fail as the rules say, until the test ends.
func scripted(t *testing.T, rules ...rule) {
	t.Helper()
	order, _ := json.Marshal(map[string]any{"rules": rules})
	simulator(t, http.MethodPost, order)
	t.Cleanup(func() { simulator(t, http.MethodDelete, nil) })
}

func simulator(t *testing.T, method string, order []byte) {
	t.Helper()
	made := must(http.NewRequest(method, given(t, "SIMULATOR")+"/_simulator/script", bytes.NewReader(order)))(t)
	answer := must(http.DefaultClient.Do(made))(t)
	defer answer.Body.Close()
	if said := must(io.ReadAll(answer.Body))(t); answer.StatusCode != http.StatusOK {
		t.Fatalf("the simulator answered %d: %s", answer.StatusCode, said)
	}
}
