"""The device gateway: holds ESP32 sockets, and shows how to embed the SDK."""

__version__ = "0.1.0"
