"""Starts MedChat: flags -> Settings -> App -> serve."""

import argparse
import errno
import os
import shlex
import signal
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from medchat.accounts import check_start
from medchat.catalogue import Catalogue
from medchat.errors import MedChatError, SettingsError
from medchat.settings import Settings
from medchat.store import Store
from medchat.store.lock import hold_data_dir
from medchat.store.migrate import upgrade


def main(arguments: list[str] | None = None) -> int:
    """Serves until it is stopped; returns the exit status."""
    flags = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    try:
        settings = Settings.from_environment(**vars(flags))
        with hold_data_dir(settings.data_dir), bound_socket(settings) as listener:
            Catalogue(settings.models_dir, settings.own_models_file).resolve(settings.model)
            upgrade(settings.db_url, settings.data_dir / "backups")
            with closing(Store(settings.db_url)) as store:
                check_start(settings, store, _store_options(flags))
            run(settings, listener)
    except MedChatError as error:
        print(f"medchat: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def run(settings: Settings, listener: socket.socket) -> None:
    """Builds the app and serves it on the listener."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["MPLBACKEND"] = "agg"  # or Gradio's first event would wait for matplotlib to look for a screen
    from medchat import server  # takes seconds: what can go wrong quickly has been tried before

    server.log_as_json()
    app = server.compose(settings)
    host = "127.0.0.1" if settings.host in server.WILDCARDS else settings.host
    address = f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    server.serve(app, listener, on_ready=lambda: print(f"MedChat is ready: {address}", flush=True))


def _store_options(flags: argparse.Namespace) -> list[str]:
    """The flags that tell a command which store this is, as they stand in a shell."""
    named = {"--data-dir": flags.data_dir, "--db": flags.db}
    return [f"{option} {shlex.quote(str(value))}" for option, value in named.items() if value is not None]


def bound_socket(settings: Settings) -> socket.socket:
    """The address, taken before anything slow is begun.

    Raises SettingsError when it is in use, is not this machine's, or may not be used.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        where = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(f"{where} is in use by another program; choose another port with --port.") from error
        raise SettingsError(
            f"{where} cannot be used ({error.strerror}); choose others with --host and --port."
        ) from error
    return listener


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="app.py", description="MedChat in the browser. For research and teaching only."
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1: this machine only)")
    parser.add_argument("--port", type=_port, help="port to listen on (default 7860)")
    parser.add_argument("--model", help="model that answers at first: an id or a GGUF file (default: the bundled one)")
    parser.add_argument("--data-dir", type=Path, help="folder of conversations and caches (default ~/.medchat)")
    parser.add_argument("--db", help="SQLAlchemy URL of the database (default: a SQLite file in the data folder)")
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 1 to 65535")
    return int(text)


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
