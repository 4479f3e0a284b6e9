"""Serial ports: bytes of devices on a cable become readings of their beds."""
