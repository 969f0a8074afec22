package fusionai

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DefaultTolerance is how far the time of a delivery may be from now, either way.
const DefaultTolerance = 5 * time.Minute

// Reasons of a [WebhookError].
const (
	MissingHeader  = "missing_header"
	WrongTimestamp = "timestamp"
	WrongSignature = "signature"
	WrongBody      = "body"
	Replayed       = "replayed"
)

// WebhookError is of a delivery that is not to be acted on. Answer 400 to it, but 200 where it was Replayed: it has been
// acted on, and only that answer was lost.
type WebhookError struct {
	Reason  string
	Message string
}

func (e *WebhookError) Error() string { return "fusionai: webhook: " + e.Message }

// VerifyOption changes how [VerifyWebhook] verifies.
type VerifyOption func(*verification)

type verification struct {
	now       time.Time
	tolerance time.Duration
	seen      func(id string) bool
}

// WithTolerance says how far the time of a delivery may be from now.
func WithTolerance(most time.Duration) VerifyOption {
	return func(v *verification) { v.tolerance = most }
}

// WithNow gives the present, for tests.
func WithNow(now time.Time) VerifyOption { return func(v *verification) { v.now = now } }

// WithSeen has deliveries that came before refused as Replayed. seen notes an id, and says whether it was noted before:
// [SeenEvents.Seen], or a function that inserts the id into a table of yours, in the transaction that acts on the event.
func WithSeen(seen func(id string) bool) VerifyOption {
	return func(v *verification) { v.seen = seen }
}

// Verify returns the event of a delivery; see [VerifyWebhook].
func (s *WebhooksService) Verify(body []byte, header http.Header, secrets []string, options ...VerifyOption) (*Event, error) {
	return VerifyWebhook(body, header, secrets, options...)
}

// VerifyWebhook returns the event of a delivery, once it is known to come from the holder of one of the secrets
// ("whsec_…"; there may be several during a rotation), and lately; else a [WebhookError].
//
// The body is as it was received. Deliveries are signed by two conventions, FusionAI-Signature and Standard Webhooks
// (https://www.standardwebhooks.com): each that is there must hold.
func VerifyWebhook(body []byte, header http.Header, secrets []string, options ...VerifyOption) (*Event, error) {
	v := verification{now: time.Now(), tolerance: DefaultTolerance}
	for _, option := range options {
		option(&v)
	}
	keys, err := keysOf(secrets)
	if err != nil {
		return nil, err
	}
	if err := v.check(body, header, secrets, keys); err != nil {
		return nil, err
	}
	var event Event
	if json.Unmarshal(body, &event) != nil || event.ID == "" {
		return nil, &WebhookError{WrongBody, "the body is not an event"}
	}
	if id := header.Get("Webhook-Id"); id != "" && id != event.ID {
		return nil, &WebhookError{WrongBody, "webhook-id is not the id of the event"}
	}
	if v.seen != nil && v.seen(event.ID) {
		return nil, &WebhookError{Replayed, "event " + event.ID + " has been received before"}
	}
	return &event, nil
}

// keysOf are the bytes that the secrets stand for; its errors do not quote a secret.
func keysOf(secrets []string) ([][]byte, error) {
	if len(secrets) == 0 {
		return nil, errors.New("fusionai: at least one webhook secret is required")
	}
	var keys [][]byte
	for _, secret := range secrets {
		encoded := strings.TrimPrefix(secret, "whsec_")
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(key) == 0 || encoded == secret || strings.ContainsAny(encoded, "\r\n") {
			return nil, errors.New("fusionai: a webhook secret must be whsec_ followed by base64")
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (v verification) check(body []byte, header http.Header, secrets []string, keys [][]byte) error {
	id, at, signature := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp"), header.Get("Webhook-Signature")
	standard := has(header, "Webhook-Id") || has(header, "Webhook-Timestamp") || has(header, "Webhook-Signature")
	if !standard && !has(header, "FusionAI-Signature") {
		return &WebhookError{MissingHeader, "neither webhook-signature nor FusionAI-Signature is there"}
	}
	if standard {
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			if header.Get(name) == "" {
				return &WebhookError{MissingHeader, name + " is missing"}
			}
		}
		if err := v.checkTime(at, "webhook-timestamp"); err != nil {
			return err
		}
		if !standardHolds(id, at, signature, body, keys) {
			return unsigned("webhook-signature")
		}
	}
	if has(header, "FusionAI-Signature") {
		at, signatures := fusionaiFields(header.Get("FusionAI-Signature"))
		if err := v.checkTime(at, "FusionAI-Signature"); err != nil {
			return err
		}
		if !fusionaiHolds(at, signatures, body, secrets) {
			return unsigned("FusionAI-Signature")
		}
	}
	return nil
}

func has(header http.Header, name string) bool { return len(header.Values(name)) > 0 }

func unsigned(where string) error {
	return &WebhookError{WrongSignature, "no signature in " + where + " matches the body and a secret"}
}

func (v verification) checkTime(text, where string) error {
	at, ok := timestamp(text)
	if !ok {
		return &WebhookError{WrongTimestamp, where + " has no timestamp"}
	}
	age, most := v.now.Unix()-at, int64(v.tolerance/time.Second)
	if age > most || -age > most {
		message := fmt.Sprintf("%s is %d s away from now; at most %d s are tolerated", where, age, most)
		return &WebhookError{WrongTimestamp, message}
	}
	return nil
}

// timestamp reads Unix seconds: up to twelve digits and nothing else.
func timestamp(text string) (int64, bool) {
	if len(text) == 0 || len(text) > 12 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	at, err := strconv.ParseInt(text, 10, 64)
	return at, err == nil
}

// fusionaiFields are the one time, and the signatures, of a FusionAI-Signature.
func fusionaiFields(text string) (string, []string) {
	var times, signatures []string
	for _, field := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "t":
			times = append(times, value)
		case "v1":
			signatures = append(signatures, value)
		}
	}
	if len(times) != 1 {
		return "", signatures
	}
	return times[0], signatures
}

func fusionaiHolds(at string, signatures []string, body []byte, secrets []string) bool {
	seconds, _ := timestamp(at)
	content := bytes.Join([][]byte{[]byte(strconv.FormatInt(seconds, 10)), body}, []byte("."))
	held := false
	for _, secret := range secrets {
		held = among(hex.EncodeToString(sum([]byte(secret), content)), signatures) || held
	}
	return held
}

func standardHolds(id, at, signature string, body []byte, keys [][]byte) bool {
	var signatures []string
	for _, entry := range strings.Split(signature, " ") {
		if version, value, _ := strings.Cut(entry, ","); version == "v1" {
			signatures = append(signatures, value)
		}
	}
	seconds, _ := timestamp(at)
	content := bytes.Join([][]byte{[]byte(id), []byte(strconv.FormatInt(seconds, 10)), body}, []byte("."))
	held := false
	for _, key := range keys {
		held = among(base64.StdEncoding.EncodeToString(sum(key, content)), signatures) || held
	}
	return held
}

func sum(key, content []byte) []byte {
	hash := hmac.New(sha256.New, key)
	hash.Write(content)
	return hash.Sum(nil)
}

// among compares with every one and stops early at none, so that time tells nothing.
func among(expected string, given []string) bool {
	held := false
	for _, one := range given {
		held = hmac.Equal([]byte(expected), []byte(one)) || held
	}
	return held
}
