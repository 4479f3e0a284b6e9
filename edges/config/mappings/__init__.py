"""Mappings of formats that many senders share, as a site's [[mapping]] tables; `mapping_presets` reads them."""
