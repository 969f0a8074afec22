package fusionai

import (
	"context"
	"net/http"
	"net/url"
)

// CreditsService tells what is left. Test keys have no credits: they get a 403.
type CreditsService struct{ client *Client }

// Balance is what the account has.
type Balance struct {
	// Available can be spent, Held is reserved for unfinished jobs, Remaining is the sum of both.
	Available  Amount      `json:"available"`
	Held       Amount      `json:"held"`
	Remaining  Amount      `json:"remaining"`
	Spent      Spent       `json:"spent"`
	Thresholds []Threshold `json:"thresholds"`
	Expiring   []Expiring  `json:"expiring"`
}

// Spent is what was spent in a calendar month, UTC ("2026-11"), and today.
type Spent struct {
	Period  string `json:"period"`
	Credits Amount `json:"credits"`
	Today   Amount `json:"today"`
}

// Expiring are credits that expire unless they are spent by then.
type Expiring struct {
	Credits   Amount `json:"credits"`
	ExpiresAt int64  `json:"expires_at"`
}

// Threshold is a level of credit at which an event is sent: Kind is "remaining", or "spent" in the month.
type Threshold struct {
	Kind    string `json:"kind"`
	Credits Amount `json:"credits"`
}

// Get returns the balance.
func (s *CreditsService) Get(ctx context.Context, options ...Option) (*Balance, error) {
	return fetch[Balance](ctx, s.client, "/credits", nil, options)
}

// CreditDay is what remained at the end of a day, UTC, and what came and went on it.
type CreditDay struct {
	Date      string `json:"date"`
	Remaining Amount `json:"remaining"`
	Added     Amount `json:"added"`
	Spent     Amount `json:"spent"`
}

// History returns the days of a period, both inclusive ("2026-11-21"); empty: the last 30 days.
func (s *CreditsService) History(ctx context.Context, from, to string, options ...Option) ([]CreditDay, error) {
	page, err := pageOf[CreditDay](ctx, s.client, "/credits/history", days(from, to), options)
	if err != nil {
		return nil, err
	}
	return page.Data, nil
}

func days(from, to string) url.Values {
	query := url.Values{}
	set(query, "from", from)
	set(query, "to", to)
	return query
}

// Transfer is one movement of credits.
type Transfer struct {
	ID        string `json:"id"`
	Object    string `json:"object"`
	Kind      string `json:"kind"`
	From      string `json:"from"`
	To        string `json:"to"`
	Credits   Amount `json:"credits"`
	CreatedAt int64  `json:"created_at"`
	Subject   struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	} `json:"subject"`
}

// Transfers returns a page of the movements of credits, the newest first.
func (s *CreditsService) Transfers(ctx context.Context, page ListOptions, options ...Option) (*Page[Transfer], error) {
	return pageOf[Transfer](ctx, s.client, "/credits/transfers", page.query(), options)
}

// AllTransfers goes through all movements of credits.
func (s *CreditsService) AllTransfers(ctx context.Context, page ListOptions, options ...Option) *Pager[Transfer] {
	return pagerOf[Transfer](ctx, s.client, "/credits/transfers", page.query(), options)
}

// SetThresholds replaces the levels of credit at which a credit.threshold event is sent.
func (s *CreditsService) SetThresholds(ctx context.Context, levels []Threshold, options ...Option) ([]Threshold, error) {
	if levels == nil {
		levels = []Threshold{}
	}
	var made struct {
		Thresholds []Threshold `json:"thresholds"`
	}
	r := request{method: http.MethodPut, path: "/credits/thresholds"}
	_, err := s.client.sendJSON(ctx, r, map[string]any{"thresholds": levels}, &made, options)
	return made.Thresholds, err
}

// AutoTopUp is what is bought when fewer than Threshold credits are available. Status is "active", "limited" by the
// MonthlyLimit, "stopped" after a payment that failed (Reason), or "off".
type AutoTopUp struct {
	Enabled         bool   `json:"enabled"`
	Threshold       Amount `json:"threshold"`
	Credits         Amount `json:"credits"`
	MonthlyLimit    Amount `json:"monthly_limit"`
	BoughtThisMonth Amount `json:"bought_this_month"`
	Status          string `json:"status"`
	Reason          string `json:"reason"`
}

// AutoTopUp returns the automatic top-up, and whether it is at work.
func (s *CreditsService) AutoTopUp(ctx context.Context, options ...Option) (*AutoTopUp, error) {
	return fetch[AutoTopUp](ctx, s.client, "/credits/auto_top_up", nil, options)
}

// TopUp asks for so many credits to be bought when fewer than Threshold are available, up to a limit a month.
type TopUp struct {
	Threshold    int64 `json:"threshold"`
	Credits      int64 `json:"credits"`
	MonthlyLimit int64 `json:"monthly_limit"`
}

// SetAutoTopUp has credits bought automatically; nil: none any more.
func (s *CreditsService) SetAutoTopUp(ctx context.Context, wanted *TopUp, options ...Option) (*AutoTopUp, error) {
	var made AutoTopUp
	body := struct {
		Enabled bool `json:"enabled"`
		*TopUp
	}{wanted != nil, wanted}
	r := request{method: http.MethodPut, path: "/credits/auto_top_up"}
	if _, err := s.client.sendJSON(ctx, r, body, &made, options); err != nil {
		return nil, err
	}
	return &made, nil
}
