"""The compiled extensions, and nothing else: everything that can be said in pyproject.toml stands there.

ROUTER_BUILD=debug turns on bounds checks, assertions and line tracing; ROUTER_CFLAGS adds compiler flags
(for sanitizer builds).
"""

import os
import shlex

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("ROUTER_BUILD") == "debug"
CFLAGS = ["-O1", "-g"] if DEBUG else ["-O3"]
CFLAGS += shlex.split(os.environ.get("ROUTER_CFLAGS", ""))
PROCESSES = len(os.sched_getaffinity(0))

DIRECTIVES = {
    "language_level": "3",
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": True,
    "embedsignature": True,
    "linetrace": DEBUG,
}

MODULES = (
    "scatter_window",
    "traffic",
    "framing",
    "gathering",
    "pdata",
    "command",
    "dataset",
    "ring",
    "structure",
    "tally",
    "sqlite_link",
    "ledger_rows",
    "store_lane",
    "handler_lane",
    "send_lane",
    "outlet",
    "reception",
    "ticket_port",
    "doorbell",
    "segment_window",
    "commit_lane",
    "entry_lane",
    "ledger_told",
    "forward_lane",
    "load",
)

setup(
    ext_modules=cythonize(
        [
            Extension(
                f"_codec.{name}",
                [f"_codec/{name}.pyx"],
                extra_compile_args=CFLAGS,
                define_macros=[("CYTHON_TRACE_NOGIL", "1")] if DEBUG else [],
            )
            for name in MODULES
            if os.path.exists(f"_codec/{name}.pyx")
        ],
        compiler_directives=DIRECTIVES,
        build_dir="build",
        nthreads=PROCESSES,
    ),
    options={"build_ext": {"parallel": PROCESSES}},
)
