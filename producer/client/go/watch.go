package fusionai

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// watch ends a try after so long, as a whole, or since something was last read or written; without a limit, never.
type watch struct {
	limit  time.Duration
	timer  *time.Timer
	cancel context.CancelFunc
	over   atomic.Bool
}

func newWatch(parent context.Context, limit time.Duration) (*watch, context.Context) {
	ctx, cancel := context.WithCancel(parent)
	made := &watch{limit: limit, cancel: cancel}
	if limit > 0 {
		made.timer = time.AfterFunc(limit, func() {
			made.over.Store(true)
			cancel()
		})
	}
	return made, ctx
}

func (w *watch) isOver() bool { return w.over.Load() }

// seen says that something came: the time begins anew.
func (w *watch) seen() {
	if w.timer != nil && !w.over.Load() {
		w.timer.Reset(w.limit)
	}
}

func (w *watch) stop() {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.cancel()
}

// watchedReader is a body that is being sent.
type watchedReader struct {
	io.Reader
	watch *watch
}

func (r *watchedReader) Read(data []byte) (int, error) {
	count, err := r.Reader.Read(data)
	r.watch.seen()
	return count, err
}

// watchedBody is a body that is being read; its errors are those of this package.
type watchedBody struct {
	io.ReadCloser
	watch *watch
	// restarts: what comes starts the time anew.
	restarts bool
	lost     func(error) error
}

func (b *watchedBody) Read(data []byte) (int, error) {
	count, err := b.ReadCloser.Read(data)
	if err == nil && b.restarts {
		b.watch.seen()
	} else if err != nil && err != io.EOF {
		err = b.lost(err)
	}
	return count, err
}

func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.watch.stop()
	return err
}
