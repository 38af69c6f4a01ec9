"""The way past Python's sqlite3 module, for rows in such numbers that an object for each column is too much.

The library is the one that module uses; its functions are looked up by name, so that neither its header
nor its files are needed to build. A connection's handle is told by an automatic extension (sqlite's C
interface, `sqlite3_auto_extension`), which sees each connection when it is opened.
Invariant: a Link is used by the thread that uses its connection, and closed before it.
"""

from posix.dlfcn cimport RTLD_LAZY, dlopen, dlsym

import _sqlite3
import os
import sqlite3
from threading import Lock

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    pthread_t pthread_self()

ctypedef int (*extension_function)(void *database, char **fault, const void *api) noexcept nogil
ctypedef int (*auto_extension_function)(extension_function extension) noexcept nogil
ctypedef int (*prepare_function)(
    void *database, const char *sql, int count, void **statement, const char **tail
) noexcept nogil
ctypedef const char *(*message_function)(void *database) noexcept nogil
ctypedef int (*code_function)(void *database) noexcept nogil

cdef auto_extension_function _add_extension
cdef auto_extension_function _remove_extension
cdef prepare_function _prepare
cdef message_function _message
cdef code_function _code

_NAMES = {
    value: name
    for name, value in vars(sqlite3).items()
    if name.startswith("SQLITE_") and isinstance(value, int)
}
_CONSTRAINT = 19

cdef pthread_t _opener = 0  # whose next connection is looked for
cdef void *_opened = NULL
_opening = Lock()


cdef int _see(void *database, char **fault, const void *api) noexcept nogil:
    # Called by sqlite for each connection that any thread opens.
    global _opened
    if pthread_self() == _opener and _opened is NULL:
        _opened = database
    return SQLITE_OK


cdef void *_look_up(void *library, const char *name) except NULL:
    cdef void *found = dlsym(library, name)
    if found is NULL:
        raise LookupError(name.decode())
    return found


def _find_functions():
    # Whether the library that the sqlite3 module uses can be reached, and has everything.
    global _add_extension, _remove_extension, _prepare, _message, _code
    cdef void *library
    path = getattr(_sqlite3, "__file__", None)
    if path is None:  # linked into the interpreter
        library = dlopen(NULL, RTLD_LAZY)
    else:
        library = dlopen(os.fsencode(path), RTLD_LAZY)
    if library is NULL:
        return False
    try:
        _add_extension = <auto_extension_function>_look_up(library, b"sqlite3_auto_extension")
        _remove_extension = <auto_extension_function>_look_up(library, b"sqlite3_cancel_auto_extension")
        _prepare = <prepare_function>_look_up(library, b"sqlite3_prepare_v2")
        _message = <message_function>_look_up(library, b"sqlite3_errmsg")
        _code = <code_function>_look_up(library, b"sqlite3_extended_errcode")
        functions.step = <step_function>_look_up(library, b"sqlite3_step")
        functions.reset = <step_function>_look_up(library, b"sqlite3_reset")
        functions.finalize = <step_function>_look_up(library, b"sqlite3_finalize")
        functions.bind_int64 = <bind_int64_function>_look_up(library, b"sqlite3_bind_int64")
        functions.bind_null = <bind_null_function>_look_up(library, b"sqlite3_bind_null")
        functions.bind_text = <bind_octets_function>_look_up(library, b"sqlite3_bind_text")
        functions.bind_blob = <bind_octets_function>_look_up(library, b"sqlite3_bind_blob")
    except LookupError:
        return False
    return True


_is_there = _find_functions()


cdef class Link:
    """A connection of the sqlite3 module as the library knows it; made by `linked` only."""

    cdef void *prepare(self, str statement) except NULL:
        # Return the prepared statement, which belongs to the caller. Raises sqlite3.Error.
        cdef bytes text = statement.encode()
        cdef void *prepared = NULL
        if _prepare(self._database, text, <int>len(text), &prepared, NULL) != SQLITE_OK:
            raise self.error()
        return prepared

    cdef object error(self):
        # Return what the last call met, as the sqlite3 module would raise it.
        cdef int code = _code(self._database)
        kind = sqlite3.IntegrityError if code & 0xFF == _CONSTRAINT else sqlite3.OperationalError
        error = kind(_message(self._database).decode(errors="replace"))
        error.sqlite_errorcode = code
        error.sqlite_errorname = _NAMES.get(code, _NAMES.get(code & 0xFF, "SQLITE_UNKNOWN"))
        return error


def linked(open_connection):
    """Return the connection that open_connection() opens, and its Link; None where the
    library is out of reach.

    Raises what open_connection raises.
    """
    global _opener, _opened
    cdef Link link
    if not _is_there:
        return open_connection(), None
    with _opening:
        _opener, _opened = pthread_self(), NULL
        _add_extension(_see)
        try:
            connection = open_connection()
        finally:
            _remove_extension(_see)
            _opener = 0
        if _opened is NULL:
            return connection, None
        link = Link.__new__(Link)
        link._database = _opened
    return connection, link
