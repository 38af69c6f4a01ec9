"""Raw peers for C-FIND: an SCP that answers with responses encoded once, and an SCU that only counts.

Run as a program it is the SCP: it prints `{"port": N}` and answers every C-FIND-RQ with MATCHES matches until
standard input ends. It speaks no more than it must and costs next to nothing, so that the other side is
measured.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time

from router.bench import wire
from router.bench.instances import EXPLICIT_VR_LITTLE_ENDIAN, element

HOST = "127.0.0.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MATCHES = 10_000
CONTEXT_ID = 1
C_FIND_RQ, C_FIND_RSP = 0x0020, 0x8020
PENDING, SUCCESS = 0xFF00, 0x0000
PIECE_BYTES = 1 << 18
ANSWER_DEADLINE_S = 30.0


def identifier(number: int) -> bytes:
    """Encode one match as `subject.make_match` makes it, in Explicit VR Little Endian."""
    return b"".join(
        (
            element(0x0008, 0x0020, "DA", "20200101"),
            element(0x0008, 0x0050, "SH", f"A{number}"),
            element(0x0008, 0x0052, "CS", "STUDY"),
            element(0x0010, 0x0010, "PN", "Synthetic^Subject"),
            element(0x0010, 0x0020, "LO", f"SYNTHETIC-{number}"),
            element(0x0020, 0x000D, "UI", f"2.25.7001{number}"),
            element(0x0020, 0x1208, "IS", "1"),
        )
    )


def response(message_id: int, status: int, has_identifier: bool) -> bytes:
    """Encode the P-DATA-TF of one C-FIND-RSP's command set."""
    command: dict[int, int | str] = {
        wire.AFFECTED_SOP_CLASS_UID: STUDY_ROOT_FIND,
        wire.COMMAND_FIELD: C_FIND_RSP,
        wire.MESSAGE_ID_BEING_RESPONDED_TO: message_id,
        wire.COMMAND_DATA_SET_TYPE: wire.DATASET_FOLLOWS if has_identifier else wire.NO_DATASET,
        wire.STATUS: status,
    }
    return wire.command_pdu(CONTEXT_ID, wire.encode_command(command))


def dataset_pdu(data: bytes) -> bytes:
    """Wrap an identifier into one P-DATA-TF of one last fragment."""
    return wire.pdata_head(CONTEXT_ID, wire.LAST_FRAGMENT, len(data)) + data


def all_responses(message_id: int) -> bytes:
    """Encode every response to one C-FIND-RQ."""
    pending = response(message_id, PENDING, True)
    parts = [pending + dataset_pdu(identifier(number)) for number in range(MATCHES)]
    return b"".join([*parts, response(message_id, SUCCESS, False)])


class Stream:
    """The PDUs that come on a blocking socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.data = bytearray()
        self.position = 0

    def next_pdu(self) -> tuple[int, bytes]:
        """Return the type of the next PDU and all of it. Raises ConnectionError at the end."""
        self._need(6)
        (length,) = struct.unpack_from(">I", self.data, self.position + 2)
        self._need(6 + length)
        start, self.position = self.position, self.position + 6 + length
        return self.data[start], bytes(self.data[start : self.position])

    def _need(self, count: int) -> None:
        while len(self.data) - self.position < count:
            part = self.sock.recv(PIECE_BYTES)
            if not part:
                raise ConnectionError("closed by the peer")
            del self.data[: self.position]
            self.position = 0
            self.data += part


def answer(sock: socket.socket, encoded: dict[int, bytes]) -> None:
    """Serve one association until it ends; encoded: all responses by Message ID."""
    stream = Stream(sock)
    message_id = 0
    try:
        while True:
            kind, pdu = stream.next_pdu()
            if kind == wire.ASSOCIATE_RQ:
                sock.sendall(wire.associate_ac(wire.parse_associate(pdu)))
            elif kind == wire.RELEASE_RQ:
                sock.sendall(wire.RELEASE_RP_PDU)
            elif kind != wire.P_DATA_TF:
                return
            elif pdu[11] & wire.COMMAND_FRAGMENT:
                message_id = wire.uint(wire.decode_command(pdu[12:])[wire.MESSAGE_ID])
            else:
                if message_id not in encoded:
                    encoded[message_id] = all_responses(message_id)
                sock.sendall(encoded[message_id])
    except OSError:
        return
    finally:
        sock.close()


def run_query(port: int) -> tuple[int, float]:
    """Ask an SCP as a raw SCU; return how many matches came, and the seconds they took."""
    with socket.create_connection((HOST, port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = (CONTEXT_ID, STUDY_ROOT_FIND, [EXPLICIT_VR_LITTLE_ENDIAN])
        sock.sendall(wire.associate_rq("ANY-SCP", "LOAD", [context]))
        stream = Stream(sock)
        if stream.next_pdu()[0] != wire.ASSOCIATE_AC:
            raise RuntimeError("the SCP does not accept the association")
        command: dict[int, int | str] = {
            wire.AFFECTED_SOP_CLASS_UID: STUDY_ROOT_FIND,
            wire.COMMAND_FIELD: C_FIND_RQ,
            wire.MESSAGE_ID: 1,
            wire.PRIORITY: 0,
            wire.COMMAND_DATA_SET_TYPE: wire.DATASET_FOLLOWS,
        }
        question = wire.command_pdu(CONTEXT_ID, wire.encode_command(command)) + dataset_pdu(identifier(0))
        started = time.perf_counter()
        sock.sendall(question)
        matches = 0
        while True:
            _, pdu = stream.next_pdu()
            if not pdu[11] & wire.COMMAND_FRAGMENT:
                matches += 1
            elif wire.uint(wire.decode_command(pdu[12:])[wire.STATUS]) != PENDING:
                break
        elapsed_s = time.perf_counter() - started
        sock.sendall(wire.RELEASE_RQ_PDU)
        stream.next_pdu()
        return matches, elapsed_s


def open_idle(port: int, count: int) -> list[socket.socket]:
    """Open associations that do nothing; return their sockets. Raises TimeoutError if one is not answered."""
    request = wire.associate_rq("ANY-SCP", "LOAD", [(CONTEXT_ID, wire.VERIFICATION, ["1.2.840.10008.1.2"])])
    opened = []
    for _ in range(count):
        sock = socket.create_connection((HOST, port), ANSWER_DEADLINE_S)
        sock.sendall(request)
        if Stream(sock).next_pdu()[0] != wire.ASSOCIATE_AC:
            raise RuntimeError("the SCP does not accept the association")
        opened.append(sock)
    return opened


def main() -> None:
    """Serve until standard input ends."""
    listener = socket.create_server((HOST, 0))
    encoded: dict[int, bytes] = {1: all_responses(1)}

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=answer, args=(sock, encoded), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
