package fusionai

import (
	"encoding/json"
	"testing"
)

func TestMessagesAreWrittenAsTheAPITakesThem(t *testing.T) {
	for wanted, message := range map[string]Message{
		`{"role":"user","content":"hi"}`: User("hi"),
		`{"role":"user","content":""}`:   User(""),
		`{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:x"}}]}`: {
			Role: "user", Parts: []Part{Text("see"), Image("data:x")},
		},
		`{"role":"tool","content":"7","tool_call_id":"call_1"}`: ToolResult("call_1", "7"),
		`{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]}`: {
			Role: "assistant", ToolCalls: []ToolCall{{ID: "call_1", Type: "function", Function: CalledFunction{"f", "{}"}}},
		},
	} {
		written, err := json.Marshal(message)
		if err != nil || string(written) != wanted {
			t.Errorf("%s, %v", written, err)
		}
		var read Message
		if err := json.Unmarshal(written, &read); err != nil {
			t.Error(err)
		}
		if again, _ := json.Marshal(read); string(again) != wanted {
			t.Errorf("read again it is %s", again)
		}
	}
}

func TestExtraFieldsWin(t *testing.T) {
	request := ChatRequest{Model: "gpt-4", Extra: map[string]any{"model": map[string]any{"llms": []string{"a"}}, "top_k": 1}}
	written, err := json.Marshal(request)
	if err != nil || string(written) != `{"messages":null,"model":{"llms":["a"]},"top_k":1}` {
		t.Errorf("%s, %v", written, err)
	}
	job, err := json.Marshal(ChatJob(ChatRequest{Model: "gpt-4", Messages: []Message{User("a")}}))
	if err != nil || string(job) != `{"messages":[{"role":"user","content":"a"}],"model":"gpt-4","type":"chat.completion"}` {
		t.Errorf("%s, %v", job, err)
	}
}

func TestLinesGoWhereTheirBodiesBelong(t *testing.T) {
	for wanted, request := range map[string]BatchRequest{
		"/v1/chat/completions": {Body: ChatRequest{}},
		"/v1/embeddings":       {Body: &EmbeddingRequest{}},
		"/v1/images":           {Body: ImageRequest{}},
		"/v1/responses":        {Body: map[string]any{}, URL: "/v1/responses"},
	} {
		if request.url() != wanted {
			t.Error(request.url(), wanted)
		}
	}
}

func TestVectorsAreReadInBothForms(t *testing.T) {
	for _, given := range []string{`[0.5, -0.25]`, `"AAAAPwAAgL4="`} {
		var vector Vector
		if err := json.Unmarshal([]byte(given), &vector); err != nil || len(vector) != 2 || vector[0] != 0.5 || vector[1] != -0.25 {
			t.Error(given, vector, err)
		}
	}
	var vector Vector
	if json.Unmarshal([]byte(`"AAAA"`), &vector) == nil || json.Unmarshal([]byte(`"?"`), &vector) == nil {
		t.Error("what is no vector was read")
	}
}
