"""Compares a provider's export of usage or cost with the ledger: `fusionai reconcile`."""
