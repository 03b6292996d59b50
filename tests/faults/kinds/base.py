"""What a fault is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from tests.faults.world import World


class Fault(ABC):
    """
    ``broken`` names what is put in our system's place to prove that the round can fail: ``naive``
    (systems/naive.py), or ``no-key``, ours with publishers that ask again without saying so.
    """

    number: str
    what: str
    broken = "naive"
    harmless = False  # the control: then the broken variant has to pass too
    replica = False
    centers = 1
    ack_replicas = 0

    def cannot(self) -> str:
        """Why this machine cannot play it; empty when it can."""
        return ""

    @abstractmethod
    async def inject(self, world: World) -> None:
        """Do the harm, and heal it before returning; traffic goes on all the time."""


class Nothing(Fault):
    """
    The control. In good weather the broken variants are as good as ours; so what catches them in
    the other rounds is the fault.
    """

    number = "F0"
    what = "nothing"
    harmless = True

    async def inject(self, world: World) -> None:
        await world.traffic.reach(world.scale.before // 2)
