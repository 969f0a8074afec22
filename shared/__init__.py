"""What producer and workers share: settings, the database and its rules, and the names of things."""
