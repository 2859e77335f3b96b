"""The roof: what people see and press. Nothing but server.py imports it."""
