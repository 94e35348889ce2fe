"""Our own assistant: a prompt is read once, then a token at a time is written.

Several answers may be under way at once: each has its own cache, and a lock is held for one step only. What was read for an
answer is kept for a while, so that the next question about the same picture reads only its own words.
"""

import threading
from collections import OrderedDict
from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from ..core.errors import RequestError
from ..models.llava import PICTURE, Llava, Sight
from ..models.lm import Cache
from ..preprocess.pixels import normalise
from .chat import Chat, Prompt
from .grounding import Pointer
from .ocr import Reading
from .request import Message, Outcome, Picture, Reply, Request
from .sampling import Sampler

CHUNK = 256
"""Prompt tokens read under one lock: others' answers go on in between."""
KEPT_PROMPTS, KEPT_PICTURES = 4, 64
"""How many prompts and pictures are remembered."""


class Assistant:
    """A model and the conversations it is in."""

    def __init__(self, model: Llava, chat: Chat, name: str = ""):
        self.model, self.chat = model.eval(), chat
        self.name = name or model.c.name
        self.lock, self.eye = threading.Lock(), threading.Lock()  # for a step; for a picture, so that memory holds one
        self.seen: OrderedDict[str, Sight] = OrderedDict()  # by a picture's digest; its tokens with its tiles', the rest its own
        self.reading = Reading()
        self.pointer = Pointer(model.memory, chat.tokenizer, model.lm.embed) if model.memory else None
        self.read: list[tuple[list, Cache]] = []  # prompts that were read, the latest last, none of them in use

    def answer(self, request: Request) -> Reply:
        """Begin to answer. Raises RequestError (too long, not understood), UnreadableMedia."""
        prompt, seen = self.prompt(request.messages)
        context = self.model.c.lm.context
        room = context - len(prompt.ids)
        if room < 1:
            raise RequestError(f"the conversation takes {len(prompt.ids)} tokens and the model reads {context}; shorten it")
        outcome = Outcome(prompt=len(prompt.ids), pictures=prompt.ids.count(PICTURE), context=context)
        tokens = self.tokens(prompt, seen, request, min(request.max_tokens, room), outcome)
        return Reply(self.chat.text(tokens, request.stop), outcome)

    def prompt(self, messages: tuple[Message, ...]) -> tuple[Prompt, dict[str, Tensor]]:
        """A conversation as it is read, and its pictures' tokens (N, D) by digest. Raises RequestError, UnreadableMedia."""
        sights = self.look(messages)
        if self.pointer:
            messages = self.pointer.told(messages, sights)
        if self.model.c.reads:
            messages = self.reading.told(messages)
        seen = {digest: sight.tokens for digest, sight in sights.items()}
        return self.chat.prompt(messages, {digest: len(tokens) for digest, tokens in seen.items()}), seen

    def tokens(
        self, prompt: Prompt, seen: dict[str, Tensor], request: Request, most: int, outcome: Outcome
    ) -> Iterator[int | None]:
        """The answer's tokens as they are written; None while the prompt is read, so that whoever waits may leave."""
        sampler, (cache, keys) = Sampler(request), self.recall(prompt)
        outcome.reused = len(keys)
        try:
            logits = yield from self.prefill(prompt, seen, cache, keys)
            for _ in range(most):
                token = sampler.pick(logits)
                if token in self.model.c.lm.end:
                    return
                outcome.answer += 1
                yield token
                with self.lock, torch.inference_mode():
                    logits = self.model.step(token, cache)
                keys.append(token)
            outcome.finish = "length"
        finally:
            self.remember(keys, cache)

    def prefill(self, prompt: Prompt, seen: dict[str, Tensor], cache: Cache, keys: list) -> Generator[None, None, Tensor]:
        """Read what of the prompt is not in the cache yet, a chunk at a time → logits of the first new token."""
        for start in range(len(keys), len(prompt.ids), CHUNK):
            part = slice(start, start + CHUNK)
            shown = [seen[key[0]][key[1]] for key in prompt.keys[part] if isinstance(key, tuple)]
            tokens = torch.stack(shown) if shown else torch.empty(0, self.model.c.lm.width)
            with self.lock, torch.inference_mode():
                logits = self.model.prefill(torch.tensor([prompt.ids[part]]), tokens, cache)
            keys += prompt.keys[part]
            if len(keys) < len(prompt.ids):
                yield None
        return logits

    def recall(self, prompt: Prompt) -> tuple[Cache, list]:
        """What is remembered of a prompt that begins like this one for longest, as far as they agree; else an empty cache."""
        with self.lock:
            common = [shared(keys, prompt.keys) for keys, _ in self.read]
            best = max(range(len(common)), key=common.__getitem__, default=-1)
            if best < 0 or common[best] == 0:
                return Cache(self.model.c.lm.layers), []
            length = min(common[best], len(prompt.keys) - 1)  # the last token is read again, for its logits
            keys, cache = self.read[best]
            if common[best] == len(keys):  # it goes on from there
                self.read.pop(best)
                cache.length = length
            else:
                cache = cache.first(length)
        return cache, keys[:length]

    def remember(self, keys: list, cache: Cache) -> None:
        with self.lock:
            cache.length = min(cache.length, len(keys))
            self.read.append((keys, cache))
            del self.read[:-KEPT_PROMPTS]

    def look(self, messages: tuple[Message, ...]) -> dict[str, Sight]:
        """What is seen in every picture, by its digest. Raises UnreadableMedia."""
        found = {}
        for picture in (picture for message in messages for picture in message.pictures):
            with self.eye:
                sight = self.seen.pop(picture.digest, None)
                if sight is None:
                    pixels = torch.from_numpy(self.pixels(picture))
                    with self.lock, torch.inference_mode():
                        views = self.model.sight(pixels)
                    sight = Sight(views.tokens.flatten(0, 1), views.looked[0], views.patches[0])
                self.seen[picture.digest] = found[picture.digest] = sight
                while len(self.seen) > KEPT_PICTURES:
                    self.seen.popitem(last=False)
        return found

    def pixels(self, picture: Picture):
        """A picture and its tiles: float32 (1 + tiles, 3, S, S)."""
        return normalise(picture.views(self.model.c), self.model.c.prep)


def shared(a: list, b: list) -> int:
    """How many first items two lists have in common."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
