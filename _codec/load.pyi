"""Types of load.pyx."""

from array import array

NUMBER_DIGITS: int
UID_BYTES: int
HISTOGRAM_CELLS: int
ANSWERED_CELL: int
CELLS: int
ANSWERS_MAX: int
WINDOW_MAX: int
NUMBERS_MAX: int

class Image:
    head: bytearray
    def __init__(
        self, head: bytearray, id_at: int, command_number_at: int, dataset_number_at: int
    ) -> None: ...
    def patch(self, number: int, message_id: int) -> None: ...

class Lane:
    window: int
    free: int
    def __init__(self, window: int, counts: array[int]) -> None: ...
    def begin(self, number: int, sent_ns: int) -> int: ...
    def end(self, message_id: int, now_ns: int) -> int: ...
    def learn(self, pdu: bytes, id_at: int, number_at: int) -> None: ...
    def take(self, data: bytearray, position: int, end: int, now_ns: int) -> int: ...

class Skimmer:
    pdu_left: int
    pdv_left: int
    is_last: bool
    dataset_bytes: int
    is_plain: bool
    instances: int
    octets: int
    odd_sizes: int
    last_ns: int
    def __init__(self) -> None: ...
    def learn(
        self,
        request: bytes,
        id_at: int,
        uid_at: int,
        answer: bytearray,
        answer_id_at: int,
        answer_uid_at: int,
        size: int,
    ) -> None: ...
    def forget(self) -> None: ...
    def skim(self, data: bytearray, position: int, end: int, out: bytearray, now_ns: int) -> int: ...
    def complete(self, out: bytearray, now_ns: int) -> None: ...
    def take_numbers(self) -> bytes: ...
