"""What answers are made of wherever they are shown: streams of their chunks, and thoughts put before them. Pure."""
