"""The official OpenAI SDK for Node against a running stack: `make test-node`."""
