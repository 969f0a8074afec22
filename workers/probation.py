"""The probation process by its earlier name, by which sweepers of the version before start it."""

from workers.process.probation import main

if __name__ == "__main__":
    main()
