"""The thin HTTP front: reads requests, accepts jobs, shows them; and the client and command of this API."""
