"""Tables of codes, one TOML file for each system or vendor; `edges.code_tables` reads them."""
