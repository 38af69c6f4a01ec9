"""Run a supervisor over given roles: run_supervisor.py FILE RESTARTS_MAX [role=module ...]."""

from __future__ import annotations

import sys

from router.config.load import load_config
from router.processes.launch import ROLE_MODULES
from router.processes.supervisor import supervise

if __name__ == "__main__":
    modules = ROLE_MODULES | dict(argument.split("=", 1) for argument in sys.argv[3:])
    config = load_config(sys.argv[1])
    sys.exit(supervise(config, sys.argv[1], modules=modules, restarts_max=int(sys.argv[2])))
