package fusionai

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	secretOne = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	secretTwo = "whsec_HxIdHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
)

var (
	at   = time.Unix(1_795_912_706, 0)
	body = []byte(`{"id":"evt_1","type":"job.completed","data":{"note":"Grüße ☃"}}`)
)

// signed are the headers of a delivery, by these secrets.
func signed(body []byte, secrets ...string) http.Header {
	stamp := fmt.Sprint(at.Unix())
	fusionai, standard := "t="+stamp, []string{}
	keys, _ := keysOf(secrets)
	for number, secret := range secrets {
		fusionai += ",v1=" + hex.EncodeToString(sum([]byte(secret), []byte(stamp+"."+string(body))))
		mac := sum(keys[number], []byte("evt_1."+stamp+"."+string(body)))
		standard = append(standard, "v1,"+base64.StdEncoding.EncodeToString(mac))
	}
	return http.Header{
		"Fusionai-Signature": {fusionai}, "Webhook-Id": {"evt_1"}, "Webhook-Timestamp": {stamp},
		"Webhook-Signature": {strings.Join(standard, " ")},
	}
}

func TestARecordedDeliveryIsVerified(t *testing.T) {
	// Signed by the server: shared/webhooks/signing.py.
	recorded := []byte(`{"id":"evt_1","object":"event","type":"job.completed","created_at":1795912706,"sequence":1,"data":{"job":{"id":"job_1","status":"succeeded"},"note":"Grüße ☃"}}`)
	header := http.Header{
		"Fusionai-Signature": {"t=1795912410,v1=9f1482e3d9451323e7c81a9b96fd0f6572c5d38f8ff0cb6b8cb89a6b5510db53"},
		"Webhook-Id":         {"evt_1"}, "Webhook-Timestamp": {"1795912410"},
		"Webhook-Signature": {"v1,pRplwycIsdFXlaHAufiULN4PHYLkgLBZC3UhxrnOSg0="},
	}
	event, err := VerifyWebhook(recorded, header, []string{secretOne}, WithNow(time.Unix(1_795_912_710, 0)))
	if err != nil || event.Sequence != 1 || event.Type != "job.completed" {
		t.Error(event, err)
	}
	_, err = VerifyWebhook(recorded, header, []string{secretOne}, WithNow(time.Unix(1_795_912_711, 0)))
	wantReason(t, err, WrongTimestamp)
	_, err = VerifyWebhook(recorded, header, []string{secretOne}, WithNow(time.Unix(1_795_912_109, 0)))
	wantReason(t, err, WrongTimestamp)
	header.Set("Webhook-Id", "evt_2")
	_, err = VerifyWebhook(recorded, header, []string{secretOne}, WithNow(time.Unix(1_795_912_710, 0)))
	wantReason(t, err, WrongSignature)
}

func TestTheIdInTheHeaderIsThatOfTheEvent(t *testing.T) {
	other := []byte(`{"id":"evt_2"}`)
	header := signed(other, secretOne)
	header.Del("Webhook-Timestamp")
	_, err := VerifyWebhook(other, header, []string{secretOne}, WithNow(at))
	wantReason(t, err, MissingHeader)
	_, err = VerifyWebhook(other, signed(other, secretOne), []string{secretOne}, WithNow(at))
	wantReason(t, err, WrongBody)
}

func wantReason(t *testing.T, err error, wanted string) {
	t.Helper()
	var refused *WebhookError
	if !errors.As(err, &refused) || refused.Reason != wanted {
		t.Errorf("%v is not %s", err, wanted)
	}
}

func TestBothConventionsMustHoldWhereTheyAre(t *testing.T) {
	whole := signed(body, secretOne)
	for _, names := range [][]string{{}, {"Fusionai-Signature"}, {"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}} {
		header := whole.Clone()
		for _, name := range names {
			header.Del(name)
		}
		if _, err := VerifyWebhook(body, header, []string{secretOne}, WithNow(at)); err != nil {
			t.Error(names, err)
		}
	}
	for _, name := range []string{"Fusionai-Signature", "Webhook-Signature"} {
		header := whole.Clone()
		header.Set(name, signed(body, secretTwo).Get(name))
		_, err := VerifyWebhook(body, header, []string{secretOne}, WithNow(at))
		wantReason(t, err, WrongSignature)
	}
}

func TestDuringARotationEitherSecretIsGood(t *testing.T) {
	for _, known := range [][]string{{secretOne}, {secretTwo}, {secretTwo, secretOne}} {
		if _, err := VerifyWebhook(body, signed(body, secretOne, secretTwo), known, WithNow(at)); err != nil {
			t.Error(known, err)
		}
	}
	for _, known := range [][]string{{secretOne, secretTwo}, {secretTwo, secretOne}} {
		if _, err := VerifyWebhook(body, signed(body, secretOne), known, WithNow(at)); err != nil {
			t.Error(known, err)
		}
	}
	_, err := VerifyWebhook(body, signed(body, secretOne), []string{secretTwo}, WithNow(at))
	wantReason(t, err, WrongSignature)
}

func TestWhatCameBeforeIsReplayedUnlessItIsForgotten(t *testing.T) {
	var seen SeenEvents
	verify := func() error {
		_, err := VerifyWebhook(body, signed(body, secretOne), []string{secretOne}, WithNow(at), WithSeen(seen.Seen))
		return err
	}
	if err := verify(); err != nil {
		t.Error(err)
	}
	wantReason(t, verify(), Replayed)
	seen.Forget("evt_1")
	seen.Forget("evt_2")
	if err := verify(); err != nil {
		t.Error(err)
	}
}

func TestOldIdsAreLetGo(t *testing.T) {
	var seen SeenEvents
	for n := 0; n < mostSeen; n++ {
		seen.Seen(fmt.Sprint(n))
	}
	seen.Seen("0")
	seen.Seen("one more")
	if !seen.Seen("0") || !seen.Seen("2") || seen.Seen("1") {
		t.Error("the one that came last is not kept longest")
	}
}

func TestAWrongSecretIsTheReceiversFaultAndNotShown(t *testing.T) {
	for _, secret := range []string{"", "whsec_", "whsec_!!!", "AAECAwQFBgcI", "whsec_AAEC\nAwQF"} {
		_, err := VerifyWebhook(body, signed(body, secretOne), []string{secret}, WithNow(at))
		var refused *WebhookError
		if err == nil || errors.As(err, &refused) || strings.Contains(err.Error(), "AAEC") {
			t.Errorf("%q: %v", secret, err)
		}
	}
	if _, err := VerifyWebhook(body, signed(body, secretOne), nil, WithNow(at)); err == nil {
		t.Error("without a secret anything is genuine")
	}
}
