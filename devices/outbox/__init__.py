"""The outbox of a device: keeps each reading until a receipt names it (docs/receipts.md).

`queue` is the bounded queue, `unconfirmed` the part of it that decides about resending, `file` and `db` keep it on disk.
"""
