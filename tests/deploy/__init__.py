"""What `make deploy-check` runs: linters and schemas over deploy/, and its entry points outside of containers."""
