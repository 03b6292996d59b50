"""Faults by number: a new fault is a class in a file here and a line in this table."""

from __future__ import annotations

from tests.faults.kinds.answers import GivenUp, LostReplies, RefusedWrites, Torn
from tests.faults.kinds.base import Fault, Nothing
from tests.faults.kinds.failover import SplitBrain, StaleReplica
from tests.faults.kinds.messages import BadWeather, KilledSubscribers, NoRoom
from tests.faults.kinds.silence import Frozen, OneWay
from tests.faults.kinds.store import (
    Flushed,
    FullDisk,
    FullMemory,
    KilledStore,
    PowerLoss,
    TornMiddle,
    TwoAdopt,
)

FAULTS: dict[str, Fault] = {
    fault.number: fault
    for fault in (
        Nothing(),
        KilledStore(),
        PowerLoss(),
        TornMiddle(),
        Frozen(),
        LostReplies(),
        FullDisk(),
        FullMemory(),
        StaleReplica(),
        Flushed(),
        SplitBrain(),
        TwoAdopt(),
        BadWeather(),
        KilledSubscribers(),
        NoRoom(),
        OneWay(),
        Torn(),
        GivenUp(),
        RefusedWrites(),
    )
}
