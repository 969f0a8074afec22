"""Each operation of the API once, in canonical terms; dialects translate requests and answers."""
