"""The providers' wire protocols served locally, with scripted latency and faults: what the demo and the tests call."""
