"""A model that answers from a recorded run, and says so where a request was never recorded."""

from __future__ import annotations

from collections.abc import Mapping

from drivevlm.vlm.seam import Done, Reply, Request, VLMError


class RecordedVLM:
    """Answers each request with the reply once recorded under its digest.

    Args:
        replies: By ``Request.digest``; a VLMError stands where the model failed.
        name: The name of the model that answered then.
        revision: Its revision then.
    """

    def __init__(
        self, replies: Mapping[str, Reply | VLMError], *, name: str, revision: str
    ) -> None:
        self.name = name
        self.revision = revision
        self._replies = replies

    def submit(self, request: Request) -> Done:
        """The recorded reply, or a VLMError that names the digest that was never recorded."""
        reply = self._replies.get(request.digest)
        if reply is not None:
            return Done(reply)
        return Done(
            VLMError(
                f"request {request.digest[:12]} was never recorded among {len(self._replies)} of "
                f"{self.name}: prompt, images or decoding options differ from the recorded run"
            )
        )

    def count_tokens(self, text: str) -> int:
        """One token a byte: an upper bound, since a record holds no tokenizer."""
        return len(text.encode())

    def longest_reply_tokens(self, longest_bytes: int) -> int:
        """One token a byte, and the end."""
        return longest_bytes + 1

    def close(self) -> None:
        """Nothing to free."""
