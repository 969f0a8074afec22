"""What nobody asks for: the sweeper and all that it does, each second."""
