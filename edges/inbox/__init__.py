"""Keep on disk what a sender was answered for, and publish it to the broker until ingest confirms it.

It imports `vitals`, `devices`, `config` and `observations`. `inbox.Inbox` is the file and its writing thread; the main
loop is `feed.BedFeed`, one for each bed.
"""
