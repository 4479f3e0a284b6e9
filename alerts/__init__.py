"""Alarms: readings from MQTT become alerts on MQTT, without a database.

`engine` decides (pure), `rulefile` reads the rules, `backtest` runs them on the past, `tui` is the live list. Imports
`vitals` and `mqtt`; only `backtest` imports `sql`. The main loop is `worker.Worker.run`.
"""
