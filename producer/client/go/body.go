package fusionai

import (
	"bytes"
	"encoding/json"
)

// Ptr returns a pointer to a value, for optional fields: Temperature: fusionai.Ptr(0.3).
func Ptr[T any](value T) *T { return &value }

// withExtra writes a JSON object, and beside its fields those of extra, which win.
func withExtra(object any, extra map[string]any) ([]byte, error) {
	data, err := json.Marshal(object)
	if err != nil || len(extra) == 0 {
		return data, err
	}
	merged := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &merged); err != nil {
		return nil, err
	}
	for name, value := range extra {
		if merged[name], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return json.Marshal(merged)
}

// isNull says whether a raw value is absent or null.
func isNull(data json.RawMessage) bool {
	return len(data) == 0 || bytes.Equal(data, []byte("null"))
}
