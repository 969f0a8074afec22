"""Prices, the ledger, and what is written of money."""
