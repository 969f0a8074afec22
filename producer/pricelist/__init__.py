"""The operator's own catalogue file, and the prices that are published for its models."""
