// The runner of the table of behaviours for the Go client: see tests/sdk/README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"sync"
	"time"

	fusionai "github.com/fusionai/sdk-go"
)

// A behaviour is a case of the table, as a runner is told of it.
type behaviour struct {
	Name    string `json:"name"`
	BaseURL string `json:"base_url"`
	APIKey  string `json:"api_key"`
	Client  struct {
		MaxRetries    *int     `json:"max_retries"`
		Timeout       *float64 `json:"timeout"`
		StreamTimeout *float64 `json:"stream_timeout"`
	} `json:"client"`
	Call struct {
		Name    string          `json:"name"`
		Args    json.RawMessage `json:"args"`
		Options struct {
			IdempotencyKey string            `json:"idempotency_key"`
			Headers        map[string]string `json:"headers"`
			Timeout        *float64          `json:"timeout"`
		} `json:"options"`
	} `json:"call"`
}

// An outcome is what came of it.
type outcome struct {
	Name  string  `json:"name"`
	Text  *string `json:"text,omitempty"`
	Value any     `json:"value,omitempty"`
	Error any     `json:"error,omitempty"`
}

// atOnce is how many cases run at a time, those that wait for long (the last of the table) first: were they all at once,
// short timeouts would be over before a request is sent.
const atOnce = 32

func main() {
	var (
		wait  sync.WaitGroup
		mutex sync.Mutex
	)
	out := json.NewEncoder(os.Stdout)
	all := read(os.Stdin)
	room := make(chan struct{}, atOnce)
	for at := range all {
		room <- struct{}{}
		wait.Add(1)
		go func(one behaviour) {
			defer wait.Done()
			came := run(one)
			<-room
			mutex.Lock()
			defer mutex.Unlock()
			if err := out.Encode(came); err != nil {
				log.Fatal(err)
			}
		}(all[len(all)-1-at])
	}
	wait.Wait()
}

func read(source io.Reader) []behaviour {
	var all []behaviour
	lines := json.NewDecoder(source)
	for {
		var one behaviour
		if err := lines.Decode(&one); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			log.Fatal(err)
		}
		all = append(all, one)
	}
}

func seconds(given float64) time.Duration { return time.Duration(given * float64(time.Second)) }

func run(one behaviour) outcome {
	options := []fusionai.Option{fusionai.WithBaseURL(one.BaseURL)}
	if most := one.Client.MaxRetries; most != nil {
		options = append(options, fusionai.WithRetries(*most))
	}
	if limit := one.Client.Timeout; limit != nil {
		options = append(options, fusionai.WithTimeout(seconds(*limit)))
	}
	if limit := one.Client.StreamTimeout; limit != nil {
		options = append(options, fusionai.WithStreamTimeout(seconds(*limit)))
	}
	c := &call{ctx: context.Background(), client: fusionai.New(one.APIKey, options...)}
	if key := one.Call.Options.IdempotencyKey; key != "" {
		c.options = append(c.options, fusionai.WithIdempotencyKey(key))
	}
	for name, value := range one.Call.Options.Headers {
		c.options = append(c.options, fusionai.WithHeader(name, value))
	}
	if limit := one.Call.Options.Timeout; limit != nil {
		c.options = append(c.options, fusionai.WithTimeout(seconds(*limit)))
	}
	came := outcome{Name: one.Name}
	if err := json.Unmarshal(one.Call.Args, &c.args); err != nil {
		log.Fatalf("%s: %s", one.Name, err)
	}
	value, err := c.make(one.Call.Name)
	came.Text = c.text
	if err != nil {
		came.Error = describe(err)
	} else {
		came.Value = value
	}
	return came
}
