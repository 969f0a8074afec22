"""The Python distribution, built and installed as a user does: `make test-packages`."""
