"""HL7 v2: frames and their listener, the ER7 encoding, its times, and the acknowledgements."""
