package fusionai

import (
	"encoding/json"
	"testing"
)

func TestAmountsAreExact(t *testing.T) {
	for given, wanted := range map[string]string{
		`0.1`: "0.1", `1e-06`: "0.000001", `1E-6`: "0.000001", `9876.123456`: "9876.123456", `500`: "500", `3.0`: "3",
		`1.5e3`: "1500", `-0.25`: "-0.25", `"0.000000000001"`: "0.000000000001", `-0.0`: "0",
		`123456789012345678.123456`: "123456789012345678.123456", `null`: "",
	} {
		var amount Amount
		if err := json.Unmarshal([]byte(given), &amount); err != nil || string(amount) != wanted {
			t.Errorf("%s became %q, %v", given, amount, err)
		}
	}
}

func TestWhatIsNoAmountIsAnError(t *testing.T) {
	for _, given := range []string{`"1/3"`, `"0x1"`, `"1_000"`, `"abc"`, `true`, `""`, `"1e99999"`} {
		var amount Amount
		if err := json.Unmarshal([]byte(given), &amount); err == nil {
			t.Errorf("%s became %q", given, amount)
		}
	}
}

func TestAmountsAreWrittenAsNumbers(t *testing.T) {
	written, err := json.Marshal([]Amount{"100", "0.000001", "1e-06", ""})
	if err != nil || string(written) != "[100,0.000001,0.000001,null]" {
		t.Errorf("%s, %v", written, err)
	}
	if _, err := json.Marshal(Amount("a lot")); err == nil {
		t.Error("what is no number was written")
	}
}

func TestAmountsAreReckonedWith(t *testing.T) {
	if sum := Amount("0.1").Rat(); sum.Add(sum, Amount("0.2").Rat()).Cmp(Amount("0.3").Rat()) != 0 {
		t.Error("0.1 + 0.2 is not 0.3")
	}
	if micros, err := Amount("0.0592").Micros(); micros != 59_200 || err != nil {
		t.Error(micros, err)
	}
	if _, err := Amount("0.0000001").Micros(); err == nil {
		t.Error("a tenth of a millionth is a whole number")
	}
	if Amount("2").Cmp("10") != -1 || Amount("1.0").Cmp("1") != 0 || Amount("").Cmp("0") != 0 {
		t.Error("amounts are compared as text")
	}
}
