"""The upper layer's state machine as data: states, events, actions and Table 9-10 (PS3.8 section 9.2).

upper_layer.py walks the table and performs the actions; nothing here does anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique


class State(Enum):
    """Where an association stands (PS3.8 Tables 9-1 to 9-5). The second name of each is its spoken alias."""

    STA1 = 1
    STA2 = 2
    STA3 = 3
    STA4 = 4
    STA5 = 5
    STA6 = 6
    STA7 = 7
    STA8 = 8
    STA9 = 9
    STA10 = 10
    STA11 = 11
    STA12 = 12
    STA13 = 13

    IDLE = STA1
    AWAITING_ASSOCIATE_RQ = STA2
    AWAITING_LOCAL_ASSOCIATE_RESPONSE = STA3
    AWAITING_TRANSPORT_OPEN = STA4
    AWAITING_ASSOCIATE_AC_OR_RJ = STA5
    READY_FOR_DATA = STA6
    AWAITING_RELEASE_RP = STA7
    AWAITING_LOCAL_RELEASE_RESPONSE = STA8
    COLLISION_REQUESTOR_AWAITING_LOCAL_RESPONSE = STA9
    COLLISION_ACCEPTOR_AWAITING_RELEASE_RP = STA10
    COLLISION_REQUESTOR_AWAITING_RELEASE_RP = STA11
    COLLISION_ACCEPTOR_AWAITING_LOCAL_RESPONSE = STA12
    AWAITING_TRANSPORT_CLOSE = STA13

    def __str__(self) -> str:
        return f"Sta{self.value}"


class Event(Enum):
    """What can happen to an association (PS3.8 Table 9-10). The second name of each is its spoken alias."""

    EVT1 = 1
    EVT2 = 2
    EVT3 = 3
    EVT4 = 4
    EVT5 = 5
    EVT6 = 6
    EVT7 = 7
    EVT8 = 8
    EVT9 = 9
    EVT10 = 10
    EVT11 = 11
    EVT12 = 12
    EVT13 = 13
    EVT14 = 14
    EVT15 = 15
    EVT16 = 16
    EVT17 = 17
    EVT18 = 18
    EVT19 = 19

    ASSOCIATE_REQUEST = EVT1
    TRANSPORT_CONFIRMED = EVT2
    ASSOCIATE_AC_RECEIVED = EVT3
    ASSOCIATE_RJ_RECEIVED = EVT4
    TRANSPORT_INDICATED = EVT5
    ASSOCIATE_RQ_RECEIVED = EVT6
    ASSOCIATE_RESPONSE_ACCEPT = EVT7
    ASSOCIATE_RESPONSE_REJECT = EVT8
    DATA_REQUEST = EVT9
    DATA_RECEIVED = EVT10
    RELEASE_REQUEST = EVT11
    RELEASE_RQ_RECEIVED = EVT12
    RELEASE_RP_RECEIVED = EVT13
    RELEASE_RESPONSE = EVT14
    ABORT_REQUEST = EVT15
    ABORT_RECEIVED = EVT16
    TRANSPORT_CLOSED = EVT17
    ARTIM_EXPIRED = EVT18
    INVALID_PDU_RECEIVED = EVT19

    @property
    def text(self) -> str:
        """The Standard's name of the event."""
        return EVENT_TEXTS[self]

    def __str__(self) -> str:
        return f"Evt{self.value}"


EVENT_TEXTS: dict[Event, str] = {
    Event.EVT1: "A-ASSOCIATE request (local user)",
    Event.EVT2: "transport connection confirmation",
    Event.EVT3: "A-ASSOCIATE-AC PDU",
    Event.EVT4: "A-ASSOCIATE-RJ PDU",
    Event.EVT5: "transport connection indication",
    Event.EVT6: "A-ASSOCIATE-RQ PDU",
    Event.EVT7: "A-ASSOCIATE response, accept (local user)",
    Event.EVT8: "A-ASSOCIATE response, reject (local user)",
    Event.EVT9: "P-DATA request (local user)",
    Event.EVT10: "P-DATA-TF PDU",
    Event.EVT11: "A-RELEASE request (local user)",
    Event.EVT12: "A-RELEASE-RQ PDU",
    Event.EVT13: "A-RELEASE-RP PDU",
    Event.EVT14: "A-RELEASE response (local user)",
    Event.EVT15: "A-ABORT request (local user)",
    Event.EVT16: "A-ABORT PDU",
    Event.EVT17: "transport connection closed indication",
    Event.EVT18: "ARTIM timer expired",
    Event.EVT19: "unrecognised or invalid PDU",
}

PDU_EVENTS = frozenset(
    {
        Event.ASSOCIATE_AC_RECEIVED,
        Event.ASSOCIATE_RJ_RECEIVED,
        Event.ASSOCIATE_RQ_RECEIVED,
        Event.DATA_RECEIVED,
        Event.RELEASE_RQ_RECEIVED,
        Event.RELEASE_RP_RECEIVED,
        Event.ABORT_RECEIVED,
        Event.INVALID_PDU_RECEIVED,
    }
)
"""Events caused by the peer's bytes."""


@unique
class Action(Enum):
    """What the machine does on an event (PS3.8 Tables 9-6 to 9-9)."""

    AE_1 = "AE-1"
    AE_2 = "AE-2"
    AE_3 = "AE-3"
    AE_4 = "AE-4"
    AE_5 = "AE-5"
    AE_6 = "AE-6"
    AE_7 = "AE-7"
    AE_8 = "AE-8"
    DT_1 = "DT-1"
    DT_2 = "DT-2"
    AR_1 = "AR-1"
    AR_2 = "AR-2"
    AR_3 = "AR-3"
    AR_4 = "AR-4"
    AR_5 = "AR-5"
    AR_6 = "AR-6"
    AR_7 = "AR-7"
    AR_8 = "AR-8"
    AR_9 = "AR-9"
    AR_10 = "AR-10"
    AA_1 = "AA-1"
    AA_2 = "AA-2"
    AA_3 = "AA-3"
    AA_4 = "AA-4"
    AA_5 = "AA-5"
    AA_6 = "AA-6"
    AA_7 = "AA-7"
    AA_8 = "AA-8"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class ActionRule:
    """What an action does, and the states it may lead to (more than one: the action's own text chooses)."""

    text: str
    next_states: tuple[State, ...]


ACTION_RULES: dict[Action, ActionRule] = {
    Action.AE_1: ActionRule("ask for a transport connection", (State.STA4,)),
    Action.AE_2: ActionRule("send A-ASSOCIATE-RQ", (State.STA5,)),
    Action.AE_3: ActionRule("confirm to the user that the association was accepted", (State.STA6,)),
    Action.AE_4: ActionRule("confirm to the user that it was rejected; close the connection", (State.STA1,)),
    Action.AE_5: ActionRule("accept the transport connection; start ARTIM", (State.STA2,)),
    Action.AE_6: ActionRule(
        "stop ARTIM; if the provider can serve the request, indicate it to the user (Sta3), "
        "otherwise send A-ASSOCIATE-RJ and start ARTIM (Sta13)",
        (State.STA3, State.STA13),
    ),
    Action.AE_7: ActionRule("send A-ASSOCIATE-AC", (State.STA6,)),
    Action.AE_8: ActionRule("send A-ASSOCIATE-RJ; start ARTIM", (State.STA13,)),
    Action.DT_1: ActionRule("send P-DATA-TF", (State.STA6,)),
    Action.DT_2: ActionRule("indicate P-DATA to the user", (State.STA6,)),
    Action.AR_1: ActionRule("send A-RELEASE-RQ", (State.STA7,)),
    Action.AR_2: ActionRule("indicate A-RELEASE to the user", (State.STA8,)),
    Action.AR_3: ActionRule("confirm A-RELEASE to the user; close the connection", (State.STA1,)),
    Action.AR_4: ActionRule("send A-RELEASE-RP; start ARTIM", (State.STA13,)),
    Action.AR_5: ActionRule("stop ARTIM", (State.STA1,)),
    Action.AR_6: ActionRule("indicate P-DATA to the user", (State.STA7,)),
    Action.AR_7: ActionRule("send P-DATA-TF", (State.STA8,)),
    Action.AR_8: ActionRule(
        "indicate A-RELEASE to the user, a release collision; the association's requestor goes to Sta9, "
        "its acceptor to Sta10",
        (State.STA9, State.STA10),
    ),
    Action.AR_9: ActionRule("send A-RELEASE-RP", (State.STA11,)),
    Action.AR_10: ActionRule("confirm A-RELEASE to the user", (State.STA12,)),
    Action.AA_1: ActionRule("send A-ABORT, source service-user; start or restart ARTIM", (State.STA13,)),
    Action.AA_2: ActionRule("stop ARTIM if it runs; close the connection", (State.STA1,)),
    Action.AA_3: ActionRule(
        "indicate A-ABORT (source service-user) or A-P-ABORT (source service-provider); close the connection",
        (State.STA1,),
    ),
    Action.AA_4: ActionRule("indicate A-P-ABORT", (State.STA1,)),
    Action.AA_5: ActionRule("stop ARTIM", (State.STA1,)),
    Action.AA_6: ActionRule("ignore the PDU", (State.STA13,)),
    Action.AA_7: ActionRule("send A-ABORT", (State.STA13,)),
    Action.AA_8: ActionRule(
        "send A-ABORT, source service-provider; indicate A-P-ABORT; start ARTIM", (State.STA13,)
    ),
}

# A dot is a cell the Standard leaves empty: what then happens is upper_layer.py's rule.
_TABLE_9_10 = """
       Sta1  Sta2  Sta3  Sta4  Sta5  Sta6  Sta7  Sta8  Sta9  Sta10 Sta11 Sta12 Sta13
Evt1   AE-1  .     .     .     .     .     .     .     .     .     .     .     .
Evt2   .     .     .     AE-2  .     .     .     .     .     .     .     .     .
Evt3   .     AA-1  AA-8  .     AE-3  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt4   .     AA-1  AA-8  .     AE-4  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt5   AE-5  .     .     .     .     .     .     .     .     .     .     .     .
Evt6   .     AE-6  AA-8  .     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
Evt7   .     .     AE-7  .     .     .     .     .     .     .     .     .     .
Evt8   .     .     AE-8  .     .     .     .     .     .     .     .     .     .
Evt9   .     .     .     .     .     DT-1  .     AR-7  .     .     .     .     .
Evt10  .     AA-1  AA-8  .     AA-8  DT-2  AR-6  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt11  .     .     .     .     .     AR-1  .     .     .     .     .     .     .
Evt12  .     AA-1  AA-8  .     AA-8  AR-2  AR-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt13  .     AA-1  AA-8  .     AA-8  AA-8  AR-3  AA-8  AA-8  AR-10 AR-3  AA-8  AA-6
Evt14  .     .     .     .     .     .     .     AR-4  AR-9  .     .     AR-4  .
Evt15  .     .     AA-1  AA-2  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  .
Evt16  .     AA-2  AA-3  .     AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-2
Evt17  .     AA-5  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AR-5
Evt18  .     AA-2  .     .     .     .     .     .     .     .     .     .     AA-2
Evt19  .     AA-1  AA-8  .     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
"""


def _read_table(table: str) -> dict[tuple[Event, State], Action]:
    head, *rows = (line.split() for line in table.strip().splitlines())
    transitions: dict[tuple[Event, State], Action] = {}
    for event_name, *cells in rows:
        for state_name, cell in zip(head, cells, strict=True):
            if cell != ".":
                key = Event[event_name.upper()], State[state_name.upper()]
                transitions[key] = Action(cell)
    return transitions


TRANSITIONS: dict[tuple[Event, State], Action] = _read_table(_TABLE_9_10)
"""PS3.8 Table 9-10: the action of each (event, state); an absent pair is an empty cell of the Standard's."""
