package fusionai

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
)

// The limits of one batch: more requests become several.
const (
	mostLines     = 50_000
	mostFileBytes = 200 << 20
)

// Tiers of [BatchOptions].
const (
	// TierDefault sends requests as they are.
	TierDefault = "default"
	// TierCheapest takes the half-price service tier ("flex") for each request that names none and whose model has one.
	// The provider serves it as there is room; towards the end of the window the usual tier, and price, is taken.
	TierCheapest = "cheapest"
)

// part is one of the batches that requests become.
type part struct {
	file    *tempFile
	hash    hash.Hash
	bytes   int64
	customs []string
	// known are the same, as a set; of a batch that was made before by another program they are not known.
	known map[string]bool

	batch *Batch
	over  bool
	// given are the lines whose results have been given.
	given map[string]bool
	early earlyResults
}

// encode writes requests as the files of one or more batches; custom ids are made where there are none.
func encode(requests []BatchRequest, cheap map[string]bool) ([]*part, error) {
	var parts []*part
	fail := func(err error) ([]*part, error) {
		for _, one := range parts {
			one.close()
		}
		return nil, err
	}
	seen := map[string]bool{}
	for at, request := range requests {
		if request.CustomID == "" {
			request.CustomID = "line-" + strconv.Itoa(at+1)
		}
		if seen[request.CustomID] {
			return fail(fmt.Errorf("fusionai: custom id %q is there twice", request.CustomID))
		}
		seen[request.CustomID] = true
		data, err := encodeLine(request, cheap)
		if err != nil {
			return fail(err)
		}
		if len(parts) == 0 || !parts[len(parts)-1].fits(data) {
			made, err := newPart()
			if err != nil {
				return fail(err)
			}
			parts = append(parts, made)
		}
		if err := parts[len(parts)-1].add(request, data); err != nil {
			return fail(err)
		}
	}
	return parts, nil
}

func encodeLine(request BatchRequest, cheap map[string]bool) ([]byte, error) {
	body, err := json.Marshal(request.Body)
	if err != nil {
		return nil, err
	}
	var asked struct {
		Model any             `json:"model"`
		Tier  json.RawMessage `json:"service_tier"`
	}
	if len(cheap) > 0 && json.Unmarshal(body, &asked) == nil && isNull(asked.Tier) {
		if model, named := asked.Model.(string); named && cheap[model] {
			if body, err = withExtra(json.RawMessage(body), map[string]any{"service_tier": "flex"}); err != nil {
				return nil, err
			}
		}
	}
	data, err := json.Marshal(BatchRequest{CustomID: request.CustomID, URL: request.url(), Body: json.RawMessage(body)})
	return append(data, '\n'), err
}

func newPart() (*part, error) {
	file, err := newTempFile()
	if err != nil {
		return nil, err
	}
	return &part{file: file, hash: sha256.New(), known: map[string]bool{}, given: map[string]bool{}}, nil
}

func (p *part) fits(data []byte) bool {
	return len(p.customs) < mostLines && p.bytes+int64(len(data)) <= mostFileBytes
}

func (p *part) add(request BatchRequest, data []byte) error {
	p.customs = append(p.customs, request.CustomID)
	p.known[request.CustomID] = true
	p.bytes += int64(len(data))
	p.hash.Write(data)
	_, err := p.file.Write(data)
	return err
}

func (p *part) close() {
	if p.file != nil {
		p.file.Close()
		p.file = nil
	}
}

// key is an Idempotency-Key that depends on the content and on the caller's key alone, so that the same call after a
// crash finds what it made before. number: of tries whose outcome was not of use.
func (p *part) key(purpose, salt string, number int) string {
	text := fmt.Sprintf("%s\x00%s\x00%d\x00", purpose, salt, number) + string(p.hash.Sum(nil))
	digest := sha256.Sum256([]byte(text))
	return "batch_" + purpose + "_" + hex.EncodeToString(digest[:20])
}

// submit makes the part's batch, or finds it. A batch that had failed as a whole is made anew, since it bought nothing,
// and a file that was deleted is sent again.
func (p *part) submit(ctx context.Context, c *Client, wanted BatchOptions, options []Option) error {
	defer p.close()
	files, batches := 0, 0
	for {
		upload := FileUpload{Filename: "batch.jsonl", Content: p.file}
		file, err := c.Files.Upload(ctx, upload, withKey(options, p.key("file", wanted.Key, files))...)
		if err != nil {
			return err
		}
		made, err := c.Batches.Create(ctx, wanted.params(file.ID), withKey(options, p.key("lines", wanted.Key, batches))...)
		switch {
		case err == nil && !made.Meta.Replayed:
			p.batch = made
			return nil
		case err == nil:
			// What it was when it was made; what has become of it since?
			if p.batch, err = c.Batches.Get(ctx, made.ID, options...); err != nil || p.batch.Status != "failed" {
				return err
			}
			batches++
		case file.Meta.Replayed && c.isGone(ctx, file.ID, err, options):
			files++
		default:
			return err
		}
	}
}

// isGone says whether err came of a file that is not there any more.
func (c *Client) isGone(ctx context.Context, fileID string, err error, options []Option) bool {
	if !errors.Is(err, ErrBadRequest) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrIdempotencyMismatch) {
		return false
	}
	_, err = c.Files.Get(ctx, fileID, options...)
	return errors.Is(err, ErrNotFound)
}

func withKey(options []Option, key string) []Option {
	return append(append([]Option(nil), options...), WithIdempotencyKey(key))
}

// results opens the files of a batch that is over.
func (c *Client) results(ctx context.Context, batch *Batch, options []Option) ([]*resultFile, error) {
	var found []*resultFile
	for _, id := range []string{batch.OutputFileID, batch.ErrorFileID} {
		if id == "" {
			continue
		}
		file, err := c.fetchFile(ctx, id, options)
		if err != nil {
			for _, one := range found {
				one.source.Close()
			}
			return nil, err
		}
		found = append(found, newResultFile(file))
	}
	return found, nil
}

// fetchFile has a file's content on disk, whole, before its first line is read.
func (c *Client) fetchFile(ctx context.Context, id string, options []Option) (io.ReadCloser, error) {
	file, err := newTempFile()
	if err != nil {
		return nil, err
	}
	if err := c.copyFile(ctx, id, file, options); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// copyFile writes a file's content, from its beginning again when the connection is lost.
func (c *Client) copyFile(ctx context.Context, id string, file *tempFile, options []Option) error {
	s := c.with(options)
	for tried := 0; ; tried++ {
		err := c.copyOnce(ctx, id, file, options)
		if err == nil {
			_, err = file.Seek(0, io.SeekStart)
			return err
		}
		var failure *Error
		if !errors.As(err, &failure) || failure.Status != 0 || tried >= s.retries {
			return err
		}
		if err := s.pause(ctx, pauseBefore(tried, 0, chance())); err != nil {
			return err
		}
	}
}

func (c *Client) copyOnce(ctx context.Context, id string, file *tempFile, options []Option) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	content, err := c.Files.Content(ctx, id, options...)
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(file, content)
	return err
}
