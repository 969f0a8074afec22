"""Bytes that do not belong in rows: files, plans, images."""
