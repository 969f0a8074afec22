"""Events, and the secrets and signatures they are sent under."""
