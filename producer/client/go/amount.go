package fusionai

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// Amount is an exact number of credits, as decimal text without an exponent: "0.0592". Empty: null, or absent.
type Amount string

// number is what JSON allows, with an exponent that nobody needs to be larger.
var number = regexp.MustCompile(`^-?[0-9]{1,100}(?:\.([0-9]{1,100}))?(?:[eE]([+-]?[0-9]{1,3}))?$`)

// UnmarshalJSON takes a JSON number, or a string that is one, without going through a float.
func (a *Amount) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" {
		*a = ""
		return nil
	}
	plain, err := plainDecimal(strings.Trim(text, `"`))
	if err != nil {
		return err
	}
	*a = Amount(plain)
	return nil
}

// MarshalJSON writes the amount as a JSON number; an empty one is null.
func (a Amount) MarshalJSON() ([]byte, error) {
	if a == "" {
		return []byte("null"), nil
	}
	plain, err := plainDecimal(string(a))
	return []byte(plain), err
}

// String returns the decimal; "0" for an empty amount.
func (a Amount) String() string {
	if a == "" {
		return "0"
	}
	return string(a)
}

// Rat returns the exact value, for arithmetic; 0 for what is no number.
func (a Amount) Rat() *big.Rat {
	if plain, err := plainDecimal(string(a)); err == nil {
		if value, ok := new(big.Rat).SetString(plain); ok {
			return value
		}
	}
	return new(big.Rat)
}

// Cmp compares two amounts: -1, 0 or +1.
func (a Amount) Cmp(other Amount) int {
	return a.Rat().Cmp(other.Rat())
}

// Micros returns the amount in millionths of a credit, which is exact for every amount but the lines of a charge.
func (a Amount) Micros() (int64, error) {
	value := a.Rat()
	value.Mul(value, big.NewRat(1_000_000, 1))
	if !value.IsInt() || !value.Num().IsInt64() {
		return 0, fmt.Errorf("fusionai: %s is not a whole number of millionths", a)
	}
	return value.Num().Int64(), nil
}

func plainDecimal(text string) (string, error) {
	parts := number.FindStringSubmatch(text)
	if parts == nil {
		return "", errors.New("fusionai: not a decimal: " + strconv.Quote(text[:min(len(text), 40)]))
	}
	exponent := 0
	if parts[2] != "" {
		exponent, _ = strconv.Atoi(parts[2])
	}
	value, _ := new(big.Rat).SetString(text)
	plain := value.FloatString(max(len(parts[1])-exponent, 0))
	if strings.Contains(plain, ".") {
		plain = strings.TrimRight(strings.TrimRight(plain, "0"), ".")
	}
	if plain == "-0" {
		plain = "0"
	}
	return plain, nil
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}
