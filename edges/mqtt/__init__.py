"""Foreign MQTT: read values from the messages of other brokers, by the mappings of the site."""
