"""A teacher in the place of a backend, so that a judge keeps its keys' limits, its spending limit and its cache."""

from collections.abc import Iterator, Sequence

from medchat.records import Done, Request, Text
from train.teacher_records import Asked
from train.teachers import Teacher


class TeacherBackend:
    """Answers as Backend.generate does. A request without an answer ends as cancelled; failures counts these by why."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self.failures: dict[str, int] = {}

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        """See Backend; whole answers one after the other. Of the messages the last is asked."""
        asked = [
            Asked(str(index), request.messages[-1].content, sampling=request.sampling)
            for index, request in enumerate(requests)
        ]
        for reply in self._teacher.ask(asked):
            index = int(reply.asked.key)
            if reply.error:
                self.failures[reply.error] = self.failures.get(reply.error, 0) + 1
                yield Done(index, "cancelled", 0, 0)
                continue
            if reply.reasoning:
                yield Text(index, reply.reasoning, "reasoning")
            yield Text(index, reply.solution, "solution")
            yield Done(index, "length" if reply.finish_reason == "length" else "stop", reply.prompt_tokens,
                       reply.completion_tokens)  # fmt: skip

    def count_tokens(self, request: Request) -> int:
        """See Backend."""
        return self._teacher.backend.count_tokens(request)

    @property
    def n_ctx(self) -> int:
        """See Backend."""
        return self._teacher.backend.n_ctx
