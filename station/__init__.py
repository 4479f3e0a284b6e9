"""The live ward in a browser: an MQTT subscriber, the pages, their event stream and a JSON API.

Imports `vitals`, `mqtt` and `sql`. The main loop is `station.Station.run`.
"""
