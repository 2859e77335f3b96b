"""MedChat as `python app.py` serves it, with models whose answers are written out and take their time.

Run as `python tests/browser_app.py PORT DATA_DIR`. It also answers to the name SHARED_HOST, so that
everybody signs in, as where others can reach it.
"""

import signal
import sys
from itertools import count
from pathlib import Path

import app as start
from medchat import server
from medchat.accounts import Accounts
from medchat.backends import Backend, Backends
from medchat.backends.scripted import ScriptedBackend
from medchat.catalogue import Catalogue, Endpoint, ModelSpec
from medchat.chat import ChatService
from medchat.grounding_fit import GroundingLoader
from medchat.hub import Downloads
from medchat.machine import this_machine
from medchat.panel import PanelService
from medchat.records import Sampling
from medchat.settings import Settings
from medchat.store import Store
from medchat.store.lock import hold_data_dir
from medchat.store.migrate import upgrade
from medchat.ui.common import App

SHARED_HOST = "medchat.test"
N_STEPS = 20
REASONING = "\n".join(
    f"{n}. Point {n}: the onset, the place and the course of the pain are weighed once more." for n in range(1, N_STEPS)
)
FIRST = f"<think>\n{REASONING}\n{N_STEPS}. So it is gout.\n</think><response>Gout, which came first.</response>"
SECOND = FIRST.replace("Gout, which came first", "Gout, which came second")
ATTACK = (
    "<script>window.hit = 'script'</script><img src=x onerror=\"window.hit = 'img'\">"
    "<svg onload=\"window.hit = 'svg'\"></svg><iframe src='http://evil.example/frame'></iframe>"
    "<b onclick=\"window.hit = 'click'\">bold</b> ![x](http://evil.example/x.png) "
    "[link](javascript:window.hit='link') <a href=\"javascript:window.hit='a'\">a</a> $$\\href{javascript:hit}{x}$$"
)
HOSTILE = f"<think>\n1. {ATTACK}\n2. {ATTACK}\n</think><response>{ATTACK}</response>"
QUICK = "<think>\n1. The toe is red.\n</think><response>Answer N.</response>"
BOAST = FIRST.replace("So it is gout", "I, Boaster, beat Sprinter and Slow")
ELSEWHERE = "integrate.example"
PAUSE_S = 0.035  # 16 characters: an answer takes some five seconds
SCRIPTS = {
    "slow": ScriptedBackend([FIRST], delay_s=PAUSE_S),
    "turns": ScriptedBackend([FIRST, SECOND], delay_s=PAUSE_S),
    "quick": ScriptedBackend([QUICK.replace("N", str(number)) for number in range(1, 100)]),
    "hostile": ScriptedBackend([HOSTILE]),
    "broken": ScriptedBackend([FIRST], fail_after=25),
    "sprinter": ScriptedBackend([FIRST], delay_s=PAUSE_S / 5),
    "boaster": ScriptedBackend([BOAST], delay_s=PAUSE_S / 2),
    "mute": ScriptedBackend([FIRST], fail_after=0),
    "elsewhere": ScriptedBackend([QUICK.replace("N", "from elsewhere")]),
}


class Scripts(Backends):
    """The backends of the app, and a script for each model that has one."""

    def get(self, spec: ModelSpec) -> Backend:
        """The script of this name, or the model's own backend."""
        return SCRIPTS.get(spec.id) or super().get(spec)


class Shelf(Catalogue):
    """The catalogue with the scripts before its own models."""

    def _publish(self) -> None:
        super()._publish()
        self._models = {name: script(name) for name in SCRIPTS} | self._models


def script(name: str) -> ModelSpec:
    """The picker's entry for a script; one of them is said to be on a server elsewhere."""
    endpoint = Endpoint(f"https://{ELSEWHERE}/v1", "m") if name == "elsewhere" else None
    return ModelSpec(
        name, name.title(), "openai" if endpoint else "scripted", "think-response", Sampling(max_new_tokens=2048), 4096,
        f"A script: {name}.", "none", ("Says only what was written out.",), path=None if endpoint else Path(__file__),
        endpoint=endpoint,
    )  # fmt: skip


def compose(settings: Settings) -> App:
    """The app of server.compose, with the scripts beside the bundled models."""
    catalogue = Shelf(settings.models_dir, settings.own_models_file)
    store = Store(settings.db_url)
    backends = Scripts(settings.threads, settings.slots, settings.n_ctx)
    grounding = GroundingLoader(settings.data_dir / "cache")
    chat = ChatService(store, catalogue, backends.get, grounding, settings)
    downloads = Downloads(settings.models_dir, lambda: "", endpoint="http://127.0.0.1:9")
    accounts = Accounts(store, settings)
    panel = PanelService(store, catalogue, backends.get, grounding, settings, draw=count().__next__)
    return App(
        settings, store, catalogue, catalogue["slow"], chat, backends, grounding, downloads, this_machine, accounts,
        panel, server.jobs_of(settings, store, catalogue),
    )  # fmt: skip


def main(port: str, data_dir: str) -> None:
    """Serves until a signal ends it."""
    settings = Settings.from_environment(port=int(port), data_dir=data_dir, model="slow", allowed_hosts=(SHARED_HOST,))
    with hold_data_dir(settings.data_dir), start.bound_socket(settings) as listener:
        upgrade(settings.db_url, settings.data_dir / "backups")
        server.log_as_json()
        server.serve(compose(settings), listener, on_ready=lambda: print("ready", flush=True))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main(*sys.argv[1:])
