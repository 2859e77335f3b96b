"""Settings of one MedChat process: the only place that reads the environment."""

import os
import sys
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from medchat.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PRECISIONS = ("nf4", "int8", "bf16", "fp32")
ROLES = ("rater", "adjudicator", "engineer", "investigator", "admin")
MOST_PROXIES = 9

Proxies = int | tuple[IPv4Network | IPv6Network, ...]

# What child processes inherit; everything else (keys and tokens above all) stays behind.
CHILD_ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "PYTHONPATH", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_HOME", "HF_HUB_OFFLINE",
)  # fmt: skip


def _default_data_dir(environ: dict[str, str]) -> Path:
    on_space_with_disk = "SPACE_ID" in environ and os.access("/data", os.W_OK)
    return Path("/data/medchat") if on_space_with_disk else Path.home() / ".medchat"


def _default_threads() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are and how much a process may use.

    data_dir: folder for the store, caches and jobs. db: SQLAlchemy URL, "" for a SQLite file in it.
    allowed_hosts: Host names answered beside loopback. slots: answers decoded at once, a model.
    n_ctx: tokens an answer may use with its prompt, where the model allows as many.
    models_dir: folder of the models that are fetched, by default one in data_dir. precision: in which
    transformers loads a model: one of PRECISIONS, "" for the model's own.
    allowed_users: who may sign in with Hugging Face on a Space, each with a role. trusted_proxy: how
    many proxies stand before the app, or their addresses; only what these forward is believed.
    stop_grace_s: how long a job that was asked to stop may take to save before it is ended by force.
    training: whether runs of training can be started from the app; on a Space only where that is asked for.
    source_dirs: folders, beside that of uploads, from which everybody who prepares data may read.
    """

    data_dir: Path = field(default_factory=lambda: Path.home() / ".medchat")
    db: str = ""
    host: str = "127.0.0.1"
    port: int = 7860
    model: str = "default"
    allowed_hosts: tuple[str, ...] = ()
    space_id: str = ""
    threads: int = field(default_factory=_default_threads)
    slots: int = 8
    n_ctx: int = 4096
    max_auto_continues: int = 2
    models_dir: Path = Path()
    precision: str = ""
    allowed_users: tuple[tuple[str, str], ...] = ()
    trusted_proxy: Proxies = 0
    stop_grace_s: int = 60
    training: bool = True
    source_dirs: tuple[Path, ...] = ()

    def __post_init__(self) -> None:  # a default that depends on another field
        if self.models_dir == Path():
            object.__setattr__(self, "models_dir", self.data_dir / "models")

    @property
    def own_models_file(self) -> Path:
        """The models that somebody added."""
        return self.data_dir / "models.yaml"

    @property
    def db_url(self) -> str:
        """SQLAlchemy URL of the store."""
        return self.db or f"sqlite:///{self.data_dir / 'medchat.db'}"

    @property
    def runs_dir(self) -> Path:
        """The runs that the app starts, each in a folder of its own."""
        return self.data_dir / "runs"

    @property
    def shared_cache_dir(self) -> Path:
        """What is fetched once for all data folders; a folder of this one's where the home cannot be written."""
        home = Path.home()
        return home / ".cache" / "medchat" if os.access(home, os.W_OK) else self.data_dir / "cache"

    def as_environment(self) -> dict[str, str]:
        """The variables from which a process that this one starts gets the same places and limits."""
        return {
            "MEDCHAT_DATA_DIR": str(self.data_dir),
            "MEDCHAT_DB": self.db,
            "MEDCHAT_MODELS_DIR": str(self.models_dir),
            "MEDCHAT_PRECISION": self.precision,
            "MEDCHAT_THREADS": str(self.threads),
            "MEDCHAT_SLOTS": str(self.slots),
            "MEDCHAT_N_CTX": str(self.n_ctx),
        }

    @classmethod
    def from_environment(cls, **flags: object) -> "Settings":
        """Settings from MEDCHAT_* variables; flags that are not None go before them.

        Raises SettingsError when a number is not one or is out of its range.
        """
        env = dict(os.environ)
        on_space = env.get("SPACE_ID", "")
        space_host = env.get("SPACE_HOST", "")
        values: dict[str, object] = {
            "data_dir": Path(env["MEDCHAT_DATA_DIR"]) if env.get("MEDCHAT_DATA_DIR") else _default_data_dir(env),
            "db": env.get("MEDCHAT_DB", ""),
            "host": env.get("MEDCHAT_HOST") or ("0.0.0.0" if on_space else "127.0.0.1"),
            "port": _number(env, "MEDCHAT_PORT", 7860, 1, 65535),
            "model": env.get("MEDCHAT_MODEL") or "default",
            "allowed_hosts": tuple(
                h.strip() for h in [*env.get("MEDCHAT_ALLOWED_HOSTS", "").split(","), space_host] if h.strip()
            ),
            "space_id": on_space,
            "threads": _number(env, "MEDCHAT_THREADS", _default_threads(), 1, 512),
            "slots": _number(env, "MEDCHAT_SLOTS", 8, 1, 64),
            "n_ctx": _number(env, "MEDCHAT_N_CTX", 4096, 256, 1 << 20),
            "models_dir": _folder(env, "MEDCHAT_MODELS_DIR"),
            "precision": _one_of(env, "MEDCHAT_PRECISION", PRECISIONS),
            "allowed_users": _users(env, "MEDCHAT_ALLOWED_USERS"),
            "trusted_proxy": _proxies(env, "MEDCHAT_TRUSTED_PROXY"),
            "stop_grace_s": _number(env, "MEDCHAT_STOP_GRACE_S", 60, 0, 3600),
            "source_dirs": _folders(env, "MEDCHAT_SOURCE_DIRS"),
            "training": (_one_of(env, "MEDCHAT_TRAINING", ("on", "off")) or ("off" if on_space else "on")) == "on",
        }
        values |= {name: value for name, value in flags.items() if value is not None}
        values["data_dir"] = Path(str(values["data_dir"])).expanduser().resolve()
        return cls(**values)  # type: ignore[arg-type]


def _number(env: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise SettingsError(f"{name} is {text!r}; it must be a whole number from {low} to {high}.")
    return int(text)


def _folder(env: dict[str, str], name: str) -> Path:
    """The folder, or the empty path when none is named."""
    return Path(env[name]).expanduser().resolve() if env.get(name) else Path()


def _folders(env: dict[str, str], name: str) -> tuple[Path, ...]:
    """Whole paths of folders, separated as those of PATH are."""
    found = [Path(part.strip()).expanduser() for part in env.get(name, "").split(os.pathsep) if part.strip()]
    if wrong := next((path for path in found if not path.is_absolute()), None):
        raise SettingsError(f"{name} has {str(wrong)!r}; give whole paths, separated by {os.pathsep!r}.")
    return tuple(path.resolve() for path in found)


def secret(name: str) -> str:
    """The environment variable's value now, "" when it is not set: the only way to a key."""
    return os.environ.get(name, "")


def _one_of(env: dict[str, str], name: str, choices: tuple[str, ...]) -> str:
    text = env.get(name, "").strip()
    if text and text not in choices:
        raise SettingsError(f"{name} is {text!r}; it must be one of {', '.join(choices)}, or unset.")
    return text


def _users(env: dict[str, str], name: str) -> tuple[tuple[str, str], ...]:
    """Names of the Hub with their roles, out of "name:role, name2:role"."""
    users = []
    for entry in filter(None, map(str.strip, env.get(name, "").split(","))):
        user, _, role = (part.strip() for part in entry.partition(":"))
        if not user or role not in ROLES:
            raise SettingsError(f"{name} has {entry!r}; write name:role, the role one of {', '.join(ROLES)}.")
        users.append((user, role))
    return tuple(users)


def _proxies(env: dict[str, str], name: str) -> Proxies:
    text = env.get(name, "").strip()
    if not text or (text.isascii() and text.isdigit() and int(text) <= MOST_PROXIES):
        return int(text or 0)
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(
            f"{name} is {text!r}; it must be how many proxies there are (at most {MOST_PROXIES}), or their addresses."
        ) from error


def child_environment() -> dict[str, str]:
    """The environment for a child process: an allow-list, so that no secret travels along."""
    return {name: os.environ[name] for name in CHILD_ENVIRONMENT if name in os.environ}
