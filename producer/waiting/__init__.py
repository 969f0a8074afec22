"""Callers that wait: for the end of a job, or for the events of its stream."""
