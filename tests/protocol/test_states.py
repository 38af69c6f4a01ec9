"""PS3.8 Table 9-10 cell by cell, transcribed a second time by action instead of by row."""

from __future__ import annotations

import pytest

from router.protocol.states import (
    ACTION_RULES,
    EVENT_TEXTS,
    PDU_EVENTS,
    TRANSITIONS,
    Action,
    Event,
    State,
)

# action: event -> states. Written column by column from the Standard, so that a slip of a column in the
# literal of states.py cannot hide here as well.
CELLS: dict[str, dict[int, set[int]]] = {
    "AE-1": {1: {1}},
    "AE-2": {2: {4}},
    "AE-3": {3: {5}},
    "AE-4": {4: {5}},
    "AE-5": {5: {1}},
    "AE-6": {6: {2}},
    "AE-7": {7: {3}},
    "AE-8": {8: {3}},
    "DT-1": {9: {6}},
    "DT-2": {10: {6}},
    "AR-1": {11: {6}},
    "AR-2": {12: {6}},
    "AR-3": {13: {7, 11}},
    "AR-4": {14: {8, 12}},
    "AR-5": {17: {13}},
    "AR-6": {10: {7}},
    "AR-7": {9: {8}},
    "AR-8": {12: {7}},
    "AR-9": {14: {9}},
    "AR-10": {13: {10}},
    "AA-1": {3: {2}, 4: {2}, 10: {2}, 12: {2}, 13: {2}, 15: {3, 5, 6, 7, 8, 9, 10, 11, 12}, 19: {2}},
    "AA-2": {15: {4}, 16: {2, 13}, 18: {2, 13}},
    "AA-3": {16: {3, 5, 6, 7, 8, 9, 10, 11, 12}},
    "AA-4": {17: {3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
    "AA-5": {17: {2}},
    "AA-6": {3: {13}, 4: {13}, 10: {13}, 12: {13}, 13: {13}},
    "AA-7": {6: {13}, 19: {13}},
    "AA-8": {
        3: {3, 6, 7, 8, 9, 10, 11, 12},
        4: {3, 6, 7, 8, 9, 10, 11, 12},
        6: {3, 5, 6, 7, 8, 9, 10, 11, 12},
        10: {3, 5, 8, 9, 10, 11, 12},
        12: {3, 5, 8, 9, 10, 11, 12},
        13: {3, 5, 6, 8, 9, 12},
        19: {3, 5, 6, 7, 8, 9, 10, 11, 12},
    },
}

# Tables 9-6 to 9-9, "Next state is".
NEXT_STATES: dict[str, set[int]] = {
    "AE-1": {4},
    "AE-2": {5},
    "AE-3": {6},
    "AE-4": {1},
    "AE-5": {2},
    "AE-6": {3, 13},
    "AE-7": {6},
    "AE-8": {13},
    "DT-1": {6},
    "DT-2": {6},
    "AR-1": {7},
    "AR-2": {8},
    "AR-3": {1},
    "AR-4": {13},
    "AR-5": {1},
    "AR-6": {7},
    "AR-7": {8},
    "AR-8": {9, 10},
    "AR-9": {11},
    "AR-10": {12},
    "AA-1": {13},
    "AA-2": {1},
    "AA-3": {1},
    "AA-4": {1},
    "AA-5": {1},
    "AA-6": {13},
    "AA-7": {13},
    "AA-8": {13},
}


def expected_action(event: int, state: int) -> str | None:
    found = [action for action, rows in CELLS.items() if state in rows.get(event, ())]
    assert len(found) <= 1, f"the test's own table names Evt{event} in Sta{state} twice"
    return found[0] if found else None


@pytest.mark.parametrize("event", range(1, 20))
@pytest.mark.parametrize("state", range(1, 14))
def test_every_cell_of_the_table_holds_the_action_of_the_standard(event: int, state: int) -> None:
    action = TRANSITIONS.get((Event(event), State(state)))
    assert (action and action.value) == expected_action(event, state)


def test_the_table_has_as_many_cells_as_the_standard() -> None:
    assert len(TRANSITIONS) == sum(len(states) for rows in CELLS.values() for states in rows.values()) == 123


@pytest.mark.parametrize("action", Action)
def test_every_action_leads_where_the_standard_says(action: Action) -> None:
    assert {state.value for state in ACTION_RULES[action].next_states} == NEXT_STATES[action.value]


@pytest.mark.parametrize("action", Action)
def test_every_action_is_used_and_described(action: Action) -> None:
    assert action in TRANSITIONS.values()
    assert ACTION_RULES[action].text


def test_spoken_names_are_aliases_and_add_no_member() -> None:
    assert len(State) == 13
    assert len(Event) == 19
    assert State.READY_FOR_DATA is State.STA6
    assert State.AWAITING_TRANSPORT_CLOSE is State.STA13
    assert Event.ABORT_REQUEST is Event.EVT15
    assert Event.INVALID_PDU_RECEIVED is Event.EVT19


def test_names_print_as_the_standard_writes_them() -> None:
    assert [str(State.STA13), str(Event.EVT7), str(Action.AR_10)] == ["Sta13", "Evt7", "AR-10"]


@pytest.mark.parametrize("event", Event)
def test_every_event_has_a_text_that_says_whether_a_pdu_caused_it(event: Event) -> None:
    assert event.text == EVENT_TEXTS[event]
    assert event.text.endswith("PDU") == (event in PDU_EVENTS)


@pytest.mark.parametrize("event", sorted(PDU_EVENTS, key=lambda event: event.value))
def test_every_pdu_is_provided_for_wherever_a_connection_stands(event: Event) -> None:
    without_connection = {State.STA1, State.STA4}
    assert {state for state in State if (event, state) in TRANSITIONS} == set(State) - without_connection
