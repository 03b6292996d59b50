"""A strict ESP32: `Device` for tests, `simulate` for a fleet of them."""

from device_gateway.simulator.device import Device, Disconnected, NotAdmitted
from device_gateway.simulator.fleet import Outcome, mac, simulate

__all__ = ["Device", "Disconnected", "NotAdmitted", "Outcome", "mac", "simulate"]
