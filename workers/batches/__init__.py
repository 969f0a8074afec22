"""The batches process (`python -m workers.batches`): takes batches from their input file to their output files."""
