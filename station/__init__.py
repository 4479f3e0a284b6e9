"""The live ward in a browser: an MQTT subscriber like any other, and pages that draw what it hears."""
