package fusionai

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultRetries is how often a call is sent again.
	DefaultRetries = 3
	firstPause     = 500 * time.Millisecond
	longestPause   = 8 * time.Second
	// longestAsked is how long a Retry-After is waited for, since the limits of the API renew each minute. One that asks
	// for more is not tried again before: the error says for how long.
	longestAsked = time.Minute
)

// triesAgain says whether an answer allows another try: the server's own word, else by the status. A 409 with
// Retry-After means that the first request with this Idempotency-Key is still under way.
func triesAgain(status int, header http.Header) bool {
	switch strings.ToLower(header.Get("x-should-retry")) {
	case "true":
		return true
	case "false":
		return false
	}
	underWay := status == http.StatusConflict && header.Get("Retry-After") != ""
	return underWay || status == http.StatusTooManyRequests || status >= 500
}

// retryAfter is the pause that an answer asks for, in milliseconds, in seconds or as a date; 0: none.
func retryAfter(header http.Header, now time.Time) time.Duration {
	if asked, is := stated(header.Get("Retry-After-Ms"), time.Millisecond); is {
		return asked
	}
	text := strings.TrimSpace(header.Get("Retry-After"))
	if asked, is := stated(text, time.Second); is {
		return asked
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// stated is a pause that is a number; one that no Duration holds is as long as one can be.
func stated(text string, unit time.Duration) (time.Duration, bool) {
	count, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, false
	case !(count > 0) || math.IsInf(count, 0):
		return 0, true
	case count > float64(math.MaxInt64/int64(unit)):
		return math.MaxInt64, true
	}
	return time.Duration(count * float64(unit)), true
}

// pauseBefore is how long to wait before another try, after tried of them. random: 0 to 1.
func pauseBefore(tried int, asked time.Duration, random float64) time.Duration {
	doubled := longestPause
	if tried < 10 && firstPause<<tried < longestPause {
		doubled = firstPause << tried
	}
	own := time.Duration(float64(doubled) * (0.75 + random/4))
	if asked > own {
		return asked
	}
	return own
}

// pause waits, or ends with the context.
func pause(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// chance is a random number from 0 to 1: math/rand gives every process the same ones.
func chance() float64 {
	var bytes [4]byte
	if _, err := rand.Read(bytes[:]); err != nil {
		return 1
	}
	return float64(binary.LittleEndian.Uint32(bytes[:])) / (1 << 32)
}
