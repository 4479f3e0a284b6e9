"""The outbox of a device: keeps each reading until a receipt names it (docs/receipts.md).

`queue` is the bounded queue, `unconfirmed` its part that decides about resending, `file` and `db` keep it on disk.
"""
