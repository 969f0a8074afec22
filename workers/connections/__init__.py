"""What our own HTTP connections have in common, to providers and to receivers: names, trust, requests, kept ones."""
