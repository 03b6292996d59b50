"""The device gateway: holds ESP32 sockets, and shows how to embed the SDK."""
