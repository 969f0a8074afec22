"""The commands of `fusionai`, one room for what belongs together; producer/cli.py lists them."""
