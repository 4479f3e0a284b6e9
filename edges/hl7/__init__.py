"""HL7 v2: the ER7 encoding, its times, and the acknowledgements."""
