"""How much of everything a number of jobs a second takes: a model of measured costs, a simulation, a plot."""
