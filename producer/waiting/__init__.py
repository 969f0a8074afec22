"""Callers that wait: for the end of a job, and for what its stream says."""
