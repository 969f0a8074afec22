"""What is known of providers: their rate limits, their pace, whether they are paused."""
