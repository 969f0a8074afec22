"""The sweeper and all that it does each second: takes jobs back, feeds, ends the overdue, retains, purges."""
