"""Requests for jobs: reading, checking, pricing, and making the rows of jobs."""
