"""What producer and workers both stand on: the rows, the rules and the words of the system."""
