"""Subscriptions at work: fetched, guarded, kept, and turned into nodes of the fleet.

What a subscription says is read by :mod:`healthd.fleet`, which is pure; this room is its shell.
"""
