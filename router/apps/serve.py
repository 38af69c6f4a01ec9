"""`dicom-router serve FILE`: run the router in the foreground until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import sys

from router.errors import ConfigError, ConfigErrors, RouterError

EXIT_FAILED = 1
EXIT_CONFIG = 2
LEVELS = ("debug", "info", "warning", "error")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Run the router in the foreground. SIGTERM or Ctrl-C drains it, a second one ends it at once; SIGHUP "
        "reads the configuration again. Exit code: 0 drained, 1 could not go on, 2 configuration errors."
    )
    parser.add_argument("file", metavar="FILE", help="configuration file (TOML); `check FILE` tests one")
    parser.add_argument(
        "--log-level", choices=LEVELS, help="least severity that is logged, over that of [log]"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    # Imported here: the other commands share a parser with this one and need none of it.
    from router.processes.reloading import read_config
    from router.processes.supervisor import supervise

    try:
        config = read_config(arguments.file, arguments.log_level)
        return supervise(config, arguments.file, log_level=arguments.log_level)
    except ConfigErrors as errors:
        for error in errors.errors:
            print(error, file=sys.stderr)
        print(_count(len(errors.errors)), file=sys.stderr)
        return EXIT_CONFIG
    except ConfigError as error:
        # Found on this machine rather than in the file: a port in use, a codec that is missing.
        print(ConfigError(arguments.file, error.key, error.why, error.hint), file=sys.stderr)
        return EXIT_CONFIG
    except RouterError as error:
        print(f"dicom-router: {error}", file=sys.stderr)
        return EXIT_FAILED


def main(argv: list[str] | None = None) -> int:
    """Run the command on its own."""
    parser = argparse.ArgumentParser(prog="dicom-router serve")
    configure(parser)
    return run(parser.parse_args(argv))


def _count(errors: int) -> str:
    return f"{errors} configuration error{'' if errors == 1 else 's'}; the router was not started"


if __name__ == "__main__":
    sys.exit(main())
