package fusionai

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// mostLine is the longest line of a stream: a delta may carry an image.
const mostLine = 64 << 20

// sseEvent is one server-sent event.
type sseEvent struct {
	data string
	id   string
}

// sseReader reads events as https://html.spec.whatwg.org/multipage/server-sent-events.html says.
type sseReader struct {
	lines *bufio.Scanner
	begun bool
}

func newSSEReader(source io.Reader) *sseReader {
	lines := bufio.NewScanner(source)
	lines.Buffer(make([]byte, 0, 64<<10), mostLine)
	lines.Split(lineSplitter())
	return &sseReader{lines: lines}
}

// next is the next event; io.EOF at the end, when what had been begun of an event is dropped, unless it is the [DONE]
// to which only its empty line was lacking.
func (r *sseReader) next() (sseEvent, error) {
	var event sseEvent
	var data []string
	for r.lines.Scan() {
		line := r.lines.Text()
		if !r.begun {
			r.begun = true
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if line == "" {
			if data == nil {
				event = sseEvent{}
				continue
			}
			event.data = strings.Join(data, "\n")
			return event, nil
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "data":
			data = append(data, value)
		case "id":
			if !strings.Contains(value, "\x00") {
				event.id = value
			}
		}
	}
	if err := r.lines.Err(); err != nil {
		return sseEvent{}, err
	}
	if len(data) == 1 && data[0] == done {
		return sseEvent{data: done}, nil
	}
	return sseEvent{}, io.EOF
}

// lineSplitter splits at LF, CRLF and CR.
func lineSplitter() bufio.SplitFunc {
	afterCR := false
	return func(data []byte, atEOF bool) (int, []byte, error) {
		skipped := 0
		if afterCR && len(data) > 0 {
			afterCR = false
			if data[0] == '\n' {
				skipped, data = 1, data[1:]
			}
		}
		end := bytes.IndexAny(data, "\r\n")
		if end < 0 {
			if atEOF && len(data) > 0 {
				return skipped + len(data), data, nil
			}
			return skipped, nil, nil
		}
		afterCR = data[end] == '\r'
		return skipped + end + 1, data[:end], nil
	}
}
