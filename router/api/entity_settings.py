"""What an application entity is for either face: its settings, its contexts, its servers and associations."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from router._globals import DEFAULT_MAX_LENGTH, DEFAULT_TRANSFER_SYNTAXES
from router.api.presentation import PresentationContext, build_context, name_of_uid, require_contexts
from router.api.received_files import ReceiveTo, check_place
from router.api.requesting import REQUESTED_CONTEXTS_MAX
from router.api.utils import as_uid, check_uid, set_ae
from router.standard.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

if TYPE_CHECKING:
    from pydicom.uid import UID

    from router.api.association_state import AssociationState
    from router.api.events import EventHandlerType
    from router.api.server_state import ServerState

LOGGER = logging.getLogger("router.ae")


class EntitySettings:
    """The settings and presentation contexts of an AE, and what it has open; its faces are built on it."""

    def __init__(self, ae_title: str = "PYNETDICOM") -> None:
        self.ae_title = ae_title
        self._implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self._implementation_version_name: str | None = IMPLEMENTATION_VERSION_NAME
        self._acse_timeout: float | None = 30
        self._dimse_timeout: float | None = 30
        self._network_timeout: float | None = 60
        self._connection_timeout: float | None = None
        self._maximum_associations = 10
        self._maximum_pdu_size = DEFAULT_MAX_LENGTH
        self._receive_to: ReceiveTo = None
        self._require_called_aet = False
        self._require_calling_aet: list[str] = []
        self._requested: list[PresentationContext] = []
        self._supported: dict[str, PresentationContext] = {}
        self._servers: list[ServerState] = []
        self._alive: dict[AssociationState, None] = {}
        self._lock = threading.Lock()

    # Who it is

    @property
    def ae_title(self) -> str:
        """The AE title: 1 to 16 characters of the ISO 646 basic set."""
        return self._ae_title

    @ae_title.setter
    def ae_title(self, value: str) -> None:
        self._ae_title = set_ae(value, "ae_title", False, False) or ""

    @property
    def implementation_class_uid(self) -> UID:
        """What this implementation calls itself."""
        return as_uid(self._implementation_class_uid)

    @implementation_class_uid.setter
    def implementation_class_uid(self, value: str) -> None:
        from router.api.validators import is_strict_uid

        uid = check_uid(value, "implementation_class_uid", False, False) or ""
        if not is_strict_uid(uid):
            raise ValueError("'implementation_class_uid' is not a valid UID")
        self._implementation_class_uid = uid

    @property
    def implementation_version_name(self) -> str | None:
        """Which version of it, 1 to 16 characters; None: not told."""
        return self._implementation_version_name

    @implementation_version_name.setter
    def implementation_version_name(self, value: str | None) -> None:
        self._implementation_version_name = set_ae(value, "implementation_version_name", False)

    # Timeouts, in seconds; None: for ever

    @property
    def acse_timeout(self) -> float | None:
        """How long the answer to a request for association or release may take."""
        return self._acse_timeout

    @acse_timeout.setter
    def acse_timeout(self, value: float | None) -> None:
        self._acse_timeout = _timeout(value, "acse_timeout", 30)
        for assoc in self._open_associations():
            assoc.acse_timeout = self._acse_timeout

    @property
    def connection_timeout(self) -> float | None:
        """How long the TCP connection may take."""
        return self._connection_timeout

    @connection_timeout.setter
    def connection_timeout(self, value: float | None) -> None:
        self._connection_timeout = _timeout(value, "connection_timeout", None, may_be_zero=False)
        for assoc in self._open_associations():
            assoc.connection_timeout = self._connection_timeout

    @property
    def dimse_timeout(self) -> float | None:
        """How long one DIMSE response may take."""
        return self._dimse_timeout

    @dimse_timeout.setter
    def dimse_timeout(self, value: float | None) -> None:
        self._dimse_timeout = _timeout(value, "dimse_timeout", 30)
        for assoc in self._open_associations():
            assoc.dimse_timeout = self._dimse_timeout

    @property
    def network_timeout(self) -> float | None:
        """How long an association may be idle."""
        return self._network_timeout

    @network_timeout.setter
    def network_timeout(self, value: float | None) -> None:
        self._network_timeout = _timeout(value, "network_timeout", 60)
        for assoc in self._open_associations():
            assoc.network_timeout = self._network_timeout

    # Limits and rules of an acceptor

    @property
    def maximum_associations(self) -> int:
        """How many associations this AE accepts at once."""
        return self._maximum_associations

    @maximum_associations.setter
    def maximum_associations(self, value: int) -> None:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            self._maximum_associations = value
            return
        LOGGER.warning("maximum_associations must be an int of at least 1: it is set to 1")
        self._maximum_associations = 1

    @property
    def maximum_pdu_size(self) -> int:
        """The largest P-DATA-TF variable field an acceptor takes, in bytes; 0: no limit."""
        return self._maximum_pdu_size

    @maximum_pdu_size.setter
    def maximum_pdu_size(self, value: int) -> None:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            self._maximum_pdu_size = value
            return
        LOGGER.warning(f"maximum_pdu_size must be an int of at least 0: it stays {self._maximum_pdu_size}")

    @property
    def require_called_aet(self) -> bool:
        """Whether an acceptor must be called by its own AE title."""
        return self._require_called_aet

    @require_called_aet.setter
    def require_called_aet(self, value: bool) -> None:
        self._require_called_aet = bool(value)

    @property
    def require_calling_aet(self) -> list[str]:
        """The AE titles an acceptor serves; empty: all."""
        return self._require_calling_aet

    @require_calling_aet.setter
    def require_calling_aet(self, titles: list[str]) -> None:
        if isinstance(titles, str | bytes) or not isinstance(titles, list | tuple):
            raise TypeError("'require_calling_aet' must be a list of str")
        self._require_calling_aet = [
            set_ae(title, "require_calling_aet", False, False) or "" for title in titles
        ]

    @property
    def receive_to(self) -> ReceiveTo:
        """Where datasets of C-STORE requests go as they arrive, so that they need no memory.

        None: to memory. A directory: to files with fresh names in it. A function: it is called with each
        `Incoming` (router.api.received_files) and returns the path of a file, or None for memory. Each is a
        DICOM file; it has its name when it is complete, and one that is there already is replaced.
        The handler of EVT_C_STORE finds it at `event.dataset_path`. It stays if the handler returns, and is
        removed if that raises, or when the association breaks. Associations that are open keep their place.
        """
        return self._receive_to

    @receive_to.setter
    def receive_to(self, place: ReceiveTo) -> None:
        self._receive_to = check_place(place)

    # Presentation contexts

    @property
    def requested_contexts(self) -> list[PresentationContext]:
        """The contexts to propose. Setting adds to them; an empty list clears them."""
        return self._requested

    @requested_contexts.setter
    def requested_contexts(self, contexts: list[PresentationContext]) -> None:
        require_contexts(contexts)
        if not contexts:
            self._requested = []
        for context in contexts:
            self.add_requested_context(context.abstract_uid, context.transfer_uids)

    @property
    def supported_contexts(self) -> list[PresentationContext]:
        """The contexts to accept, by abstract syntax. Setting adds to them; an empty list clears them."""
        return [self._supported[uid] for uid in sorted(self._supported)]

    @supported_contexts.setter
    def supported_contexts(self, contexts: list[PresentationContext]) -> None:
        require_contexts(contexts)
        if not contexts:
            self._supported = {}
        for context in contexts:
            self.add_supported_context(
                context.abstract_uid, context.transfer_uids, context.scu_role, context.scp_role
            )

    def add_requested_context(
        self,
        abstract_syntax: str | UID,
        transfer_syntax: str | UID | Iterable[str | UID] | None = None,
    ) -> None:
        """Propose a context; transfer_syntax: one or several, by default the four uncompressed.

        The same abstract syntax may be proposed several times. Raises ValueError for the 129th context.
        """
        if len(self._requested) >= REQUESTED_CONTEXTS_MAX:
            raise ValueError(f"not more than {REQUESTED_CONTEXTS_MAX} presentation contexts can be requested")
        self._requested.append(build_context(abstract_syntax, _list(transfer_syntax)))

    def add_supported_context(
        self,
        abstract_syntax: str | UID,
        transfer_syntax: str | UID | Iterable[str | UID] | None = None,
        scu_role: bool | None = None,
        scp_role: bool | None = None,
    ) -> None:
        """Accept a context; its transfer syntaxes add to those the abstract syntax has already.

        scu_role, scp_role: whether the requestor may take that role, if it proposes to; None for both: its
        proposal is not answered.
        """
        context = build_context(abstract_syntax, _list(transfer_syntax))
        context.scu_role, context.scp_role = scu_role, scp_role
        known = self._supported.setdefault(context.abstract_uid, context)
        if known is not context:
            for uid in context.transfer_uids:
                known.add_transfer_syntax(uid)
            known.scu_role = scu_role if scu_role is not None else known.scu_role
            known.scp_role = scp_role if scp_role is not None else known.scp_role

    def remove_requested_context(
        self,
        abstract_syntax: str | UID,
        transfer_syntax: str | UID | Iterable[str | UID] | None = None,
    ) -> None:
        """Do not propose this context, or only not with these transfer syntaxes."""
        self._requested = [
            context
            for context in self._requested
            if context.abstract_uid != abstract_syntax or _without(context, transfer_syntax)
        ]

    def remove_supported_context(
        self,
        abstract_syntax: str | UID,
        transfer_syntax: str | UID | Iterable[str | UID] | None = None,
    ) -> None:
        """Do not accept this context, or only not with these transfer syntaxes."""
        context = self._supported.get(str(abstract_syntax))
        if context is not None and not _without(context, transfer_syntax):
            del self._supported[str(abstract_syntax)]

    # What it has open

    def __str__(self) -> str:
        lines = ["", f"Application Entity {self.ae_title}", "", "  Requested Presentation Contexts:"]
        lines += _context_lines(self._requested)
        lines += ["", "  Supported Presentation Contexts:"]
        lines += _context_lines(self.supported_contexts)
        lines += ["", f"  ACSE timeout: {self.acse_timeout} s", f"  DIMSE timeout: {self.dimse_timeout} s"]
        lines += [f"  Network timeout: {self.network_timeout} s"]
        lines += [f"  Connection timeout: {self.connection_timeout} s", ""]
        if self.require_calling_aet:
            lines.append(f"  Require calling AE title(s): {', '.join(self.require_calling_aet)}")
        lines += [f"  Require called AE title: {self.require_called_aet}", ""]
        lines.append(f"  Association(s): {len(self._open_associations())}/{self.maximum_associations}")
        lines += [f"\tPeer: {assoc.remote['ae_title']}" for assoc in self._open_associations()]
        return "\n".join(lines)

    def _note_alive(self, assoc: AssociationState) -> None:
        with self._lock:
            self._alive[assoc] = None

    def _note_ended(self, assoc: AssociationState) -> None:
        with self._lock:
            self._alive.pop(assoc, None)

    def _acceptors_active(self) -> int:
        """How many associations this AE has accepted, or is deciding about."""
        return sum(assoc.is_acceptor for assoc in self._open_associations())

    def _forget_server(self, server: ServerState) -> None:
        with self._lock:
            if server in self._servers:
                self._servers.remove(server)

    def _open_associations(self) -> list[AssociationState]:
        with self._lock:
            alive = list(self._alive)
        return [assoc for assoc in alive if assoc._server is None or assoc in assoc._server._active]

    def _make_server(
        self,
        kind: Callable[..., Any],
        address: tuple[str, int] | tuple[str, int, int, int],
        ae_title: str | None,
        contexts: list[PresentationContext] | None,
        ssl_context: ssl.SSLContext | None,
        evt_handlers: list[EventHandlerType] | None,
        **kwargs: Any,
    ) -> Any:
        """Return a server of a kind. Raises ValueError as ApplicationEntity.make_server() does."""
        from router import _config

        supported = self.supported_contexts if contexts is None else contexts
        if not supported and not _config.UNRESTRICTED_STORAGE_SERVICE:
            LOGGER.error("No supported Presentation Contexts have been defined")
            raise ValueError("No supported Presentation Contexts have been defined")
        for context in supported:
            if (context.scu_role is None) != (context.scp_role is None):
                raise ValueError(f"'{context!r}': the SCU and SCP roles must both be given, or both be None")
        title = self.ae_title if ae_title is None else set_ae(ae_title, "ae_title", False, False)
        copies = [context.copy() for context in supported]
        server = kind(self, address, title or "", copies, ssl_context, evt_handlers, **kwargs)
        with self._lock:
            self._servers.append(server)
        return server


def _timeout(value: Any, name: str, default: float | None, may_be_zero: bool = True) -> float | None:
    """Return the value if it can be a timeout, else the default, with a warning."""
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and (value > 0 or (value == 0 and may_be_zero)):
        return float(value) if isinstance(value, float) else int(value)
    LOGGER.warning(f"{name} cannot be {value!r}: it is set to {default}")
    return default


def _list(transfer_syntax: Any) -> list[str] | None:
    if transfer_syntax is None:
        return list(DEFAULT_TRANSFER_SYNTAXES)
    return [transfer_syntax] if isinstance(transfer_syntax, str) else list(transfer_syntax)


def _without(context: PresentationContext, transfer_syntax: Any) -> bool:
    """Remove transfer syntaxes (None: all) from a context; whether any is left."""
    removed = context.transfer_uids if transfer_syntax is None else _list(transfer_syntax) or []
    context._transfer_syntax = [uid for uid in context.transfer_uids if uid not in removed]
    return bool(context._transfer_syntax)


def _context_lines(contexts: list[PresentationContext]) -> list[str]:
    if not contexts:
        return ["\tNone"]
    lines = []
    for context in contexts:
        lines.append(f"\t{name_of_uid(context.abstract_uid)}")
        if context.scu_role is not None or context.scp_role is not None:
            lines.append(f"\t\tRoles of the requestor: SCU {context.scu_role}, SCP {context.scp_role}")
        lines += [f"\t\t{name_of_uid(uid)}" for uid in context.transfer_uids]
    return lines
