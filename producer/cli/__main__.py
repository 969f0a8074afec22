"""`python -m producer.cli`, which is the `fusionai` command."""

from producer.cli import main

main()
