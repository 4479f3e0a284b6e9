"""Mappings of formats that many senders share, as a site's [[mapping]] tables; `edges.mapping_presets` reads them."""
