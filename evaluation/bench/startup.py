"""From process start to page served: MedChat against a hello-world Gradio app."""

import tempfile
from statistics import median

from evaluation.bench import Report, at_most, free_port, serving

AIM = 1.5
HELLO = (
    "import sys, gradio; gradio.Interface(lambda name: 'Hello ' + name, 'text', 'text')"
    ".launch(server_name='127.0.0.1', server_port=int(sys.argv[1]), quiet=True)"
)


def measure(rounds: int) -> Report:
    """Medians of so many starts of each, in turns, after one of each that is not counted.

    MedChat keeps its data folder between the starts, as a user's does. Raises ModelUnavailable when one
    of the two cannot be started.
    """
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as data_dir:
        for _ in range(rounds + 1):
            ours.append(_start(["app.py", "--data-dir", data_dir, "--port"]))
            theirs.append(_start(["-c", HELLO]))
    conditions = {"starts of each": rounds, "slowest": round(max(ours[1:]), 2)}
    row = at_most("start to page, median", "s", median(ours[1:]), "hello-world Gradio", median(theirs[1:]), AIM)
    return Report("startup", conditions, [row])


def _start(command: list[str]) -> float:
    port = free_port()
    with serving([*command, str(port)], f"http://127.0.0.1:{port}/") as served:
        return served.start_s
