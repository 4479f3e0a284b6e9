"""Beds and alerts in Home Assistant, by MQTT discovery."""
