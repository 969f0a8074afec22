"""The system on a cluster: three nodes of RabbitMQ, Redis and RabbitMQ over TLS with passwords, PostgreSQL."""
