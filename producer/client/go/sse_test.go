package fusionai

import (
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func events(t *testing.T, source io.Reader) []sseEvent {
	t.Helper()
	reader := newSSEReader(source)
	var found []sseEvent
	for {
		event, err := reader.next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, event)
	}
}

func TestEventsAreReadAsTheStandardSays(t *testing.T) {
	cases := map[string][]sseEvent{
		"":                                   nil,
		": keep-alive\n: keep-alive\n":       nil,
		"data: a\n\ndata: b\n\n":             {{data: "a"}, {data: "b"}},
		"\ufeffdata: a\n\n":                  {{data: "a"}},
		"data:a\n\n":                         {{data: "a"}},
		"data: a\ndata: b\n\n":               {{data: "a\nb"}},
		"data\n\n":                           {{data: ""}},
		"data: a\r\n\r\ndata: b\r\r":         {{data: "a"}, {data: "b"}},
		"data: a\r\ndata: b\r\n\r\n":         {{data: "a\nb"}},
		"id: e-1\ndata: a\n\n":               {{data: "a", id: "e-1"}},
		"id: e-1\nevent: x\n\ndata: a\n\n":   {{data: "a"}},
		"event: x\nretry: 5\ndata: a\n\n":    {{data: "a"}},
		": keep-alive\ndata: a\n: more\n\n":  {{data: "a"}},
		"data: a\n\ndata: cut":               {{data: "a"}},
		"data: a\n\ndata: cut\n":             {{data: "a"}},
		"data: a\n\ndata: [DONE]":            {{data: "a"}, {data: "[DONE]"}},
		"data: a\u2028b\u0085c\n\n":          {{data: "a\u2028b\u0085c"}},
		"data: {\"a\": \"b: c\"}\n\nother\n": {{data: `{"a": "b: c"}`}},
	}
	for text, wanted := range cases {
		if got := events(t, strings.NewReader(text)); !reflect.DeepEqual(got, wanted) {
			t.Errorf("%q is %+v", text, got)
		}
		if got := events(t, iotest.OneByteReader(strings.NewReader(text))); !reflect.DeepEqual(got, wanted) {
			t.Errorf("%q, byte by byte, is %+v", text, got)
		}
	}
}

func TestALongLineIsOne(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	if got := events(t, strings.NewReader("data: "+long+"\n\n")); len(got) != 1 || got[0].data != long {
		t.Error("3 MB were not one event")
	}
}

func TestAConnectionThatIsLostIsNoEnd(t *testing.T) {
	lost := io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(io.ErrUnexpectedEOF))
	reader := newSSEReader(lost)
	if _, err := reader.next(); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.next(); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
}
