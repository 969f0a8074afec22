"""What the web and the batches process both need of dialects: their requests and answers."""
