"""The running service of an edge: its inbox, its feed, its status at the broker and its metrics.

It imports every package of the edges that receives no messages itself. The main loop is in `service`.
"""
