"""The edges: decode what other systems send, such as HL7 v2, into readings. Pure: no socket and no clock."""
