"""Events, and the secrets and signatures with which they are sent."""
