"""The table of behaviours that the SDKs of every language pass: see README.md here."""
