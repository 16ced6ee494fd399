"""What there is to see of a site: its VIPs, hosts, sessions and pools, and what needs attention.

Computed from the store's objects and from what agents tell, whichever are there. Every command that shows a site and
the dashboard draw these rows and compute nothing themselves.
"""
