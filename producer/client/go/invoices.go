package fusionai

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// InvoicesService buys credits, and lists statements. Test keys get a 403.
type InvoicesService struct{ client *Client }

// Invoice is a statement of a batch or month, paid from the balance, or a purchase of credits.
type Invoice struct {
	ID     string `json:"id"`
	Object string `json:"object"`
	Number int64  `json:"number"`
	// Kind is "statement" or "purchase"; Status is "open", "paid", "void" or "expired".
	Kind      string        `json:"kind"`
	Status    string        `json:"status"`
	BatchID   string        `json:"batch_id"`
	Period    string        `json:"period"`
	Credits   Amount        `json:"credits"`
	Lines     []InvoiceLine `json:"lines"`
	Total     Amount        `json:"total"`
	CreatedAt int64         `json:"created_at"`
	PaidAt    int64         `json:"paid_at"`
	// Of purchases alone. CheckoutURL is where it is paid, while it is open and the server takes payments online;
	// HowToPay says how, in words.
	Description  string            `json:"description"`
	Metadata     map[string]string `json:"metadata"`
	Price        *Money            `json:"price"`
	CheckoutURL  string            `json:"checkout_url"`
	HowToPay     string            `json:"how_to_pay"`
	ExpiresAt    int64             `json:"expires_at"`
	AutoTopUp    bool              `json:"auto_top_up"`
	PaymentError string            `json:"payment_error"`
	Refunded     *Money            `json:"refunded"`
}

// Money is an amount in the currency's minor unit: cents of USD.
type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// InvoiceLine is what one amount of an invoice is for.
type InvoiceLine struct {
	Kind             string `json:"kind"`
	Description      string `json:"description"`
	Model            string `json:"model"`
	Jobs             int64  `json:"jobs"`
	PromptTokens     int64  `json:"prompt_tokens"`
	CompletionTokens int64  `json:"completion_tokens"`
	Images           int64  `json:"images"`
	Credits          Amount `json:"credits"`
}

// Purchase asks for credits, a whole number of them.
type Purchase struct {
	Credits     int64             `json:"credits"`
	Description string            `json:"description,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	// SavePaymentMethod: automatic top-ups may be charged to it.
	SavePaymentMethod bool `json:"save_payment_method,omitempty"`
}

// Create makes the invoice of a purchase. The credits are there once it is paid.
func (s *InvoicesService) Create(ctx context.Context, purchase Purchase, options ...Option) (*Invoice, error) {
	return create[Invoice](ctx, s.client, "/invoices", purchase, options)
}

// Get returns an invoice.
func (s *InvoicesService) Get(ctx context.Context, id string, options ...Option) (*Invoice, error) {
	return fetch[Invoice](ctx, s.client, "/invoices/"+url.PathEscape(id), nil, options)
}

// InvoiceFilter says which invoices a list is of. From and To are days in UTC; Period is a month: "2026-11".
type InvoiceFilter struct {
	ListOptions
	Kind    string
	Status  string
	Period  string
	BatchID string
	From    string
	To      string
}

func (f InvoiceFilter) query() url.Values {
	query := f.ListOptions.query()
	set(query, "kind", f.Kind)
	set(query, "status", f.Status)
	set(query, "period", f.Period)
	set(query, "batch_id", f.BatchID)
	set(query, "from", f.From)
	set(query, "to", f.To)
	return query
}

// List returns a page of the invoices, the newest first.
func (s *InvoicesService) List(ctx context.Context, filter InvoiceFilter, options ...Option) (*Page[Invoice], error) {
	return pageOf[Invoice](ctx, s.client, "/invoices", filter.query(), options)
}

// All goes through all invoices.
func (s *InvoicesService) All(ctx context.Context, filter InvoiceFilter, options ...Option) *Pager[Invoice] {
	return pagerOf[Invoice](ctx, s.client, "/invoices", filter.query(), options)
}

// Void voids an open purchase, so that it is never paid.
func (s *InvoicesService) Void(ctx context.Context, id string, options ...Option) (*Invoice, error) {
	return create[Invoice](ctx, s.client, "/invoices/"+url.PathEscape(id)+"/void", nil, options)
}

// Document opens an invoice as "pdf" or "html", to be read and closed.
func (s *InvoicesService) Document(ctx context.Context, id, format string, options ...Option) (io.ReadCloser, error) {
	query := url.Values{"format": {format}}
	r := request{method: http.MethodGet, path: "/invoices/" + url.PathEscape(id), query: query}
	return s.client.download(ctx, r, options)
}

// InvoiceLinks are links to the document of an invoice that need no key, until they expire.
type InvoiceLinks struct {
	HTML      string `json:"html"`
	PDF       string `json:"pdf"`
	ExpiresAt int64  `json:"expires_at"`
}

// Links returns links to an invoice, for a browser.
func (s *InvoicesService) Links(ctx context.Context, id string, options ...Option) (*InvoiceLinks, error) {
	return fetch[InvoiceLinks](ctx, s.client, "/invoices/"+url.PathEscape(id)+"/links", nil, options)
}
