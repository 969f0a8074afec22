"""The sweeper by its earlier name, which the service files of deployments say: `workers.maintenance.sweep`."""

from workers.maintenance.sweep import main

if __name__ == "__main__":
    main()
