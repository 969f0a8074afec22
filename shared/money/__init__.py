"""Prices, the ledger, usage and invoices."""
