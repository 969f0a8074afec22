package fusionai

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
)

// FilesService keeps the files that batches read and make.
type FilesService struct{ client *Client }

// File is a file.
type File struct {
	ID        string `json:"id"`
	Object    string `json:"object"`
	Bytes     int64  `json:"bytes"`
	CreatedAt int64  `json:"created_at"`
	ExpiresAt int64  `json:"expires_at"`
	Filename  string `json:"filename"`
	// Purpose is "batch" or "batch_output".
	Purpose       string `json:"purpose"`
	Status        string `json:"status"`
	StatusDetails string `json:"status_details"`
	Meta          Meta   `json:"-"`
}

// FileUpload is a file to be sent.
type FileUpload struct {
	Filename string
	// Content is sent from its beginning, by each try anew.
	Content io.ReadSeeker
	// Purpose: "batch" unless you say.
	Purpose string
	// ExpiresSeconds after it was made the file is deleted; 0: as the server does.
	ExpiresSeconds int
}

// Upload sends a file; it is not held in memory.
func (s *FilesService) Upload(ctx context.Context, file FileUpload, options ...Option) (*File, error) {
	body, contentType, err := multipartBody(file)
	if err != nil {
		return nil, err
	}
	var made File
	r := request{method: http.MethodPost, path: "/files", body: body, contentType: contentType, idles: true, limit: transferTimeout}
	meta, err := s.client.do(ctx, r, &made, options)
	if err != nil {
		return nil, err
	}
	made.Meta = meta
	return &made, nil
}

// multipartBody is the form with the file; all tries have the same boundary, and so the same bytes.
func multipartBody(file FileUpload) (func() (io.Reader, int64, error), string, error) {
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	purpose := file.Purpose
	if purpose == "" {
		purpose = "batch"
	}
	fields := [][2]string{{"purpose", purpose}}
	if file.ExpiresSeconds > 0 {
		seconds := strconv.Itoa(file.ExpiresSeconds)
		fields = append(fields, [2]string{"expires_after[anchor]", "created_at"}, [2]string{"expires_after[seconds]", seconds})
	}
	for _, field := range fields {
		if err := writer.WriteField(field[0], field[1]); err != nil {
			return nil, "", err
		}
	}
	if _, err := writer.CreateFormFile("file", file.Filename); err != nil {
		return nil, "", err
	}
	head := append([]byte(nil), form.Bytes()...)
	form.Reset()
	if err := writer.Close(); err != nil {
		return nil, "", err
	}
	tail := append([]byte(nil), form.Bytes()...)
	open := func() (io.Reader, int64, error) {
		size, err := file.Content.Seek(0, io.SeekEnd)
		if err == nil {
			_, err = file.Content.Seek(0, io.SeekStart)
		}
		whole := io.MultiReader(bytes.NewReader(head), io.LimitReader(file.Content, size), bytes.NewReader(tail))
		return whole, int64(len(head)) + size + int64(len(tail)), err
	}
	return open, writer.FormDataContentType(), nil
}

// Get returns what is known of a file.
func (s *FilesService) Get(ctx context.Context, id string, options ...Option) (*File, error) {
	return fetch[File](ctx, s.client, "/files/"+url.PathEscape(id), nil, options)
}

// FileFilter says which files a list is of.
type FileFilter struct {
	ListOptions
	Purpose string
}

func (f FileFilter) query() url.Values {
	query := f.ListOptions.query()
	set(query, "purpose", f.Purpose)
	return query
}

// List returns a page of the files, the newest first.
func (s *FilesService) List(ctx context.Context, filter FileFilter, options ...Option) (*Page[File], error) {
	return pageOf[File](ctx, s.client, "/files", filter.query(), options)
}

// All goes through all files.
func (s *FilesService) All(ctx context.Context, filter FileFilter, options ...Option) *Pager[File] {
	return pagerOf[File](ctx, s.client, "/files", filter.query(), options)
}

// Content opens the content of a file, to be read and closed. A connection that is lost while it is read is an error
// of the reading; a file that ends is whole.
func (s *FilesService) Content(ctx context.Context, id string, options ...Option) (io.ReadCloser, error) {
	r := request{method: http.MethodGet, path: "/files/" + url.PathEscape(id) + "/content"}
	return s.client.download(ctx, r, options)
}

func (c *Client) download(ctx context.Context, r request, options []Option) (io.ReadCloser, error) {
	r.header, r.opens, r.idles, r.limit = http.Header{"Accept": {"*/*"}}, true, true, transferTimeout
	got, err := c.send(ctx, c.with(options), r)
	if err != nil {
		return nil, err
	}
	return got.stream, nil
}

// Delete deletes a file, unless a batch is still reading it.
func (s *FilesService) Delete(ctx context.Context, id string, options ...Option) (*Deleted, error) {
	return remove(ctx, s.client, "/files/"+url.PathEscape(id), options)
}
