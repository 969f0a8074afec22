"""HTTP to providers, whatever their protocol: the client, an exchange, and what its errors mean."""
