"""Jobs that take several calls: their steps, the conductors that decide upon them, and what they may cost. Pure.

A conductor (`conducting.Conductor`) is asked after each step what comes next, given the request and the answers so far.
It calls nobody and keeps nothing, so any worker may ask it again, at any time. `conductors.CONDUCTORS` has every one.
"""
