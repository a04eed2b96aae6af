"""The preview's server: page, protocol, commands, security."""
