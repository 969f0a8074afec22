package fusionai

import (
	"net/http"
	"testing"
	"time"
)

func TestWhichAnswersAreTriedAgain(t *testing.T) {
	cases := []struct {
		status            int
		should, retryWhen string
		again             bool
	}{
		{200, "", "", false}, {400, "", "", false}, {401, "", "", false}, {422, "", "", false}, {409, "", "", false},
		{409, "", "1", true}, {429, "", "", true}, {500, "", "", true}, {502, "", "", true}, {503, "", "", true},
		{504, "", "", true}, {504, "false", "", false}, {429, "false", "9", false}, {409, "false", "1", false},
		{400, "true", "", true}, {503, "False", "", false},
	}
	for _, c := range cases {
		header := http.Header{}
		header.Set("X-Should-Retry", c.should)
		if c.retryWhen != "" {
			header.Set("Retry-After", c.retryWhen)
		}
		if triesAgain(c.status, header) != c.again {
			t.Errorf("%+v", c)
		}
	}
}

func TestRetryAfterInSecondsOrAsADate(t *testing.T) {
	now := time.Date(2026, 11, 29, 23, 0, 0, 0, time.UTC)
	for text, wanted := range map[string]time.Duration{
		"": 0, "2": 2 * time.Second, "0.5": 500 * time.Millisecond, "0": 0, "-3": 0, "soon": 0, "NaN": 0, "Inf": 0,
		"Sun, 29 Nov 2026 23:00:30 GMT": 30 * time.Second, "Sun, 29 Nov 2026 22:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != wanted {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func TestPausesDoubleAndAreJittered(t *testing.T) {
	for tried, wanted := range []time.Duration{500, 1000, 2000, 4000, 8000, 8000} {
		longest := wanted * time.Millisecond
		if got := pauseBefore(tried, 0, 1); got != longest {
			t.Errorf("after %d tries at most %s", tried, got)
		}
		if got := pauseBefore(tried, 0, 0); got != longest*3/4 {
			t.Errorf("after %d tries at least %s", tried, got)
		}
	}
	if got := pauseBefore(70, 0, 1); got != longestPause {
		t.Error(got)
	}
}

func TestTheServersPauseIsKept(t *testing.T) {
	if got := pauseBefore(0, 20*time.Second, 1); got != 20*time.Second {
		t.Error(got)
	}
	if got := pauseBefore(4, time.Second, 1); got != longestPause {
		t.Error("our own pause is longer:", got)
	}
}

func TestTheServerAnswersBeforeTheClientGivesUp(t *testing.T) {
	for limit, wanted := range map[time.Duration]string{
		30 * time.Second: "28", 4 * time.Second: "2", 3 * time.Second: "1.5", time.Second: "0.5",
	} {
		if got := waitFor(settings{timeout: limit}, request{}); got != wanted {
			t.Errorf("of %s: %s", limit, got)
		}
	}
	if got := waitFor(settings{streamTimeout: 120 * time.Second}, request{streams: true}); got != "118" {
		t.Error(got)
	}
}
