"""Backups of a system on one machine, whose database is a file of SQLite's: made while it runs, and restored."""
