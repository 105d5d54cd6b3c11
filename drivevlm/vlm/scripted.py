"""A model that says what it was told: for tests, documentation and dry runs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from drivevlm.vlm.matcher import check_grammar
from drivevlm.vlm.pending import Job
from drivevlm.vlm.seam import Finish, Reply, Request, TextPart, VLMError

Answer = str | Reply | VLMError
Script = Sequence[Answer] | Mapping[str, Sequence[Answer]] | Callable[[Request], Answer]


class ScriptedVLM:
    """Answers from a script.

    Args:
        script: Replies in the order of the requests; or per session, each in its own order; or a
            function of the request. A VLMError among them (or raised by the function) is raised
            to the sender. A script that has run out is a VLMError too.
        delay_s: Time that each reply takes; all run at once.
    """

    def __init__(self, script: Script, *, delay_s: float = 0.0, name: str = "scripted") -> None:
        self.name = name
        self.revision = "scripted"
        self.requests: list[Request] = []
        self._script = script
        self._delay_s = delay_s
        self._told: Counter[str | None] = Counter()
        self._jobs: list[Job] = []
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, request: Request) -> Job:
        """Answer, at once or after the delay."""
        if request.grammar is not None:
            check_grammar(request.grammar)
        job = Job(request)
        with self._lock:
            if self._closed:
                raise VLMError(f"{self.name} is closed")
            self.requests.append(request)
            self._jobs = [other for other in self._jobs if not other.over] + [job]
            answer = self._answer(request)
        if self._delay_s > 0:
            timer = threading.Timer(self._delay_s, self._settle, (job, answer))
            timer.daemon = True
            timer.start()
        else:
            self._settle(job, answer)
        return job

    def count_tokens(self, text: str) -> int:
        """One token a byte."""
        return len(text.encode())

    def longest_reply_tokens(self, longest_bytes: int) -> int:
        """One token a byte, and the end."""
        return longest_bytes + 1

    def close(self) -> None:
        """Cancel what is in flight."""
        with self._lock:
            self._closed = True
        for job in self._jobs:
            job.cancel()

    def _answer(self, request: Request) -> Answer:
        if callable(self._script):
            try:
                return self._script(request)
            except VLMError as error:
                return error
        if isinstance(self._script, Mapping):
            key = request.session
            lines = self._script.get(key) if key is not None else None
            if lines is None:
                return VLMError(f"{self.name} has no script for session {key!r}")
        else:
            key, lines = None, self._script
        turn = self._told[key]
        self._told[key] += 1
        if turn >= len(lines):
            of = "" if key is None else f" of session {key!r}"
            return VLMError(f"the script{of} has {len(lines)} replies, this is request {turn + 1}")
        return lines[turn]

    def _settle(self, job: Job, answer: Answer) -> None:
        if isinstance(answer, VLMError):
            job.fail(answer)
        elif isinstance(answer, Reply):
            job.answer(answer)
        else:
            words = sum(
                self.count_tokens(part.text)
                for message in job.request.messages
                for part in message.parts
                if isinstance(part, TextPart)
            )
            samples = job.request.samples
            job.answer(
                Reply(
                    texts=(answer,) * samples,
                    finish=(Finish.STOP,) * samples,
                    prompt_tokens=words,
                    reply_tokens=self.count_tokens(answer) * samples,
                    timings_ms={"decode": self._delay_s * 1e3},
                )
            )
