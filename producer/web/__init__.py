"""What every dialect needs to read a request and answer it."""
