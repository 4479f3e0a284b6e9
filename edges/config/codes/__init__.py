"""Tables of codes, one TOML file for each system or vendor; `edges.config.code_tables` reads them."""
