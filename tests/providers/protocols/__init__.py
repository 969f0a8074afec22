"""Example protocols: what an adapter of a new wire protocol looks like."""
