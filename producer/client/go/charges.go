package fusionai

// Charge says how the cost of a job came about: its lines add up to Credits exactly.
type Charge struct {
	Lines        []ChargeLine `json:"lines"`
	Credits      Amount       `json:"credits"`
	ServiceTier  string       `json:"service_tier"`
	PriceVersion string       `json:"price_version"`
	LongContext  bool         `json:"long_context"`
	Reason       string       `json:"reason"`
	Hold         struct {
		Credits  Amount `json:"credits"`
		Released Amount `json:"released"`
		OfBatch  bool   `json:"of_batch"`
	} `json:"hold"`
	Attempt   int    `json:"attempt"`
	Estimated bool   `json:"estimated"`
	Cached    bool   `json:"cached"`
	Refunded  Amount `json:"refunded"`
}

// ChargeLine is so many of one thing at one price (micro-credits for each Per), or a correction.
type ChargeLine struct {
	Item        string `json:"item"`
	Step        string `json:"step"`
	Description string `json:"description"`
	Count       int64  `json:"count"`
	Price       int64  `json:"price"`
	Per         int64  `json:"per"`
	Credits     Amount `json:"credits"`
}

// JobHold is what a job may cost at most, which is set aside for it: its lines add up to Credits exactly.
type JobHold struct {
	Credits Amount `json:"credits"`
	// State is "held", "waiting" until the account has so much, or "ended".
	State        string     `json:"state"`
	OfBatch      bool       `json:"of_batch"`
	Reason       string     `json:"reason"`
	Provider     string     `json:"provider"`
	Model        string     `json:"model"`
	ServiceTier  string     `json:"service_tier"`
	PriceVersion string     `json:"price_version"`
	Lines        []HoldLine `json:"lines"`
}

// HoldLine is so many of one thing at most, at the dearest price that may apply.
type HoldLine struct {
	Item        string `json:"item"`
	Call        int    `json:"call"`
	Description string `json:"description"`
	Count       int64  `json:"count"`
	Price       int64  `json:"price"`
	Per         int64  `json:"per"`
	Rate        string `json:"rate"`
	Credits     Amount `json:"credits"`
}

// Linked is an entity that a chat is linked to.
type Linked struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}
