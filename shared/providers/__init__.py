"""What is known of providers: their limits, their pace, whether they are paused."""
