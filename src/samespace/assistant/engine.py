"""Our own assistant: a prompt is read once, then a token at a time is generated.

Several answers may be generated at once: each has its own cache, and a lock is held for one step only. What was read for an
answer is cached, so that the next question about the same image reads only its own text.
"""

import math
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import torch
from cachetools import LRUCache
from torch import Tensor

from ..core.assistant_config import AnyresAssistantConfig
from ..core.errors import RequestError
from ..models.llava import IMAGE_TOKEN, ImageFeatures, Llava
from ..models.lm import Cache
from ..models.sampling import Sampler
from ..models.starter.labelled_llava import LabelledLlava
from ..preprocess.pixels import normalize_pixels
from .augment import Augmenter, augmented
from .chat import Chat, Key, Prompt
from .grounding import GroundingAugmenter
from .long_context import LongContext
from .ocr_augmenter import OcrAugmenter
from .request import Message, Outcome, Picture, Reply, Request

CHUNK = 256
"""Prompt tokens that are read while the lock is held; other answers continue in between."""
ALONE = " alone"
"""After the digest of a picture that is shown as the only one is, among a prompt's keys."""
CACHED_PROMPTS = 4
PROMPT_BYTES, IMAGE_BYTES = 2**30, 2**29
"""How many prompts are cached, and the memory that they, and the features of images, may take; the latest prompt always stays."""


class Assistant:
    """An assistant that runs on this machine: a model, and caches of the prompts and images that it has read."""

    takes_sound = False

    def __init__(self, model: Llava, chat: Chat, name: str = "", long: LongContext | None = None):
        """`long` is how long texts are read; as the environment names it, where it is not given. Raises QueryError, UnknownAssistant."""
        self.model, self.chat, self.long = model.eval(), chat, long or LongContext.chosen()
        self.model.lm.c = self.long.of(model.lm.c)
        self.name = name or model.c.name
        self.lock, self.image_lock = threading.Lock(), threading.Lock()  # for a step; one image is decoded at a time
        self.features: LRUCache[tuple[str, bool], ImageFeatures] = LRUCache(  # by digest and whether it is alone
            IMAGE_BYTES, getsizeof=lambda features: features.bytes
        )
        self.grounding = _grounding_of(model, chat)
        self.augmenters: list[Augmenter] = [
            *([self.grounding] if self.grounding else ()),
            *([OcrAugmenter()] if model.c.ocr else ()),
        ]
        self.prompts: list[tuple[list[Key], Cache]] = []  # read before and not in use, the latest last

    @property
    def room(self) -> int:
        """Most tokens of a prompt and its answer together."""
        return self.model.lm.c.context

    def picture_tokens(self, picture: Picture) -> int:
        """Return the tokens that one of several pictures takes. Raises UnreadableMedia."""
        return len(self.placeholders(self.encode_images((Message("user", (picture, picture)),))[picture.digest]))

    def answer(self, request: Request) -> Reply:
        """Begin to answer. Raises RequestError (too long, not understood), UnreadableMedia."""
        prompt, image_tokens = self.prompt(request.messages)
        context = self.model.lm.c.context
        room = request.max_tokens if self.long.endless else context - len(prompt.ids)
        if room < 1:
            raise RequestError(
                f"the conversation takes {len(prompt.ids)} tokens and the model reads {context}; shorten it, or read more: --context N, "
                "--cache window"
            )
        outcome = Outcome(prompt=len(prompt.ids), pictures=prompt.ids.count(IMAGE_TOKEN), context=context)
        tokens = self.generate(prompt, image_tokens, request, min(request.max_tokens, room), outcome)
        return Reply(self.chat.decode(tokens, request.stop, prompt.thinks), outcome)

    def choose(self, request: Request, answers: Sequence[str]) -> list[float]:
        """Return how likely each of several short answers is, among them, by its first token. Raises as `answer`."""
        prompt, image_tokens = self.prompt(request.messages, may_think=False)
        if len(prompt.ids) >= self.model.lm.c.context and not self.long.endless:
            raise RequestError(f"the conversation takes {len(prompt.ids)} tokens and the model reads no more; shorten it")
        cache, keys = self._recall(prompt)
        reading = self._prefill(prompt, image_tokens, cache, keys)
        try:
            while True:
                next(reading)
        except StopIteration as end:
            logits = end.value.float().flatten()
        finally:
            self._remember(keys, cache)
        beginnings = [self.chat.first_tokens(answer) for answer in answers]
        telling = [own - set().union(*beginnings[:i], *beginnings[i + 1 :]) for i, own in enumerate(beginnings)]
        odds = torch.stack([torch.logsumexp(logits[list(tokens)], dim=0) for tokens in telling])
        return list(torch.softmax(odds, dim=0).tolist())

    def prompt(self, messages: tuple[Message, ...], may_think: bool = True) -> tuple[Prompt, dict[str, Tensor]]:
        """Return a conversation as ids, and its images' tokens (N, D) by digest. Raises RequestError, UnreadableMedia."""
        features = self.encode_images(messages)
        alone = self._tells_apart and sum(len(message.pictures) for message in messages) == 1
        messages = augmented(messages, features, self.augmenters)
        image_tokens = {digest: image.tokens for digest, image in features.items()}
        prompt = self.chat.prompt(messages, {digest: self.placeholders(f) for digest, f in features.items()}, may_think)
        grids = [features[picture.digest].grid for message in messages for picture in message.pictures]
        # the same picture has other tokens where it is the only one, and none of the keys and values of the others
        keys = [(key[0] + ALONE, key[1]) if alone and isinstance(key, tuple) else key for key in prompt.keys]
        return replace(prompt, keys=keys, positions=self.model.positions(prompt.ids, grids)), image_tokens

    def placeholders(self, image: ImageFeatures) -> list[int]:
        """Return the ids that stand for an image in a prompt."""
        return self.chat.picture_ids(image.text) if image.text else [IMAGE_TOKEN] * len(image.tokens)

    def tokens_at(self, keys: Sequence[Key], image_tokens: dict[str, Tensor]) -> Tensor:
        """Return the tokens of images that positions of a prompt name, in order: (M, D)."""
        used = [image_tokens[key[0].removesuffix(ALONE)][key[1]] for key in keys if isinstance(key, tuple)]
        return torch.stack(used) if used else torch.empty(0, self.model.c.lm.width)

    def generate(
        self, prompt: Prompt, image_tokens: dict[str, Tensor], request: Request, limit: int, outcome: Outcome
    ) -> Iterator[int | None]:
        """Generate the answer's tokens; None while the prompt is read, so that a client that waits may leave."""
        c, (cache, keys) = self.model.lm.c, self._recall(prompt)
        sampler = Sampler(request.temperature, request.top_p, request.seed, c.repetition_penalty)
        there = set(prompt.ids) - {IMAGE_TOKEN}
        outcome.reused = len(keys)
        try:
            logits = yield from self._prefill(prompt, image_tokens, cache, keys)
            for _ in range(limit):
                token = sampler.pick(logits, there)
                if token in c.end:
                    return
                outcome.answer += 1
                there.add(token)
                yield token
                with self.lock, torch.inference_mode():
                    logits = self.model.step(token, cache)
                keys.append(token)
            outcome.finish = "length"
        finally:
            self._remember(keys, cache)

    def _prefill(
        self, prompt: Prompt, image_tokens: dict[str, Tensor], cache: Cache, keys: list[Key]
    ) -> Generator[None, None, Tensor]:
        """Read what of the prompt is not in the cache yet, a chunk at a time → logits of the first new token."""
        cache.planned = len(prompt.ids)
        for start in range(len(keys), len(prompt.ids), CHUNK):
            part = slice(start, start + CHUNK)
            tokens = self.tokens_at(prompt.keys[part], image_tokens)
            positions = None if prompt.positions is None else prompt.positions[:, part]
            with self.lock, torch.inference_mode():
                logits = self.model.prefill(torch.tensor([prompt.ids[part]]), tokens, cache, positions)
            keys += prompt.keys[part]
            if len(keys) < len(prompt.ids):
                yield None
        return logits

    def _recall(self, prompt: Prompt) -> tuple[Cache, list[Key]]:
        """Return the cache of the prompt that begins like this one for longest, cut to where they agree; else an empty one."""
        with self.lock:
            # the last token is run again, for its logits
            common = [min(_common_prefix(keys, prompt.keys), len(prompt.keys) - 1) for keys, _ in self.prompts]
            longest = self._longest_reused
            usable = [
                n if cache.holds(n) and max(len(keys), len(prompt.ids)) <= longest else 0
                for n, (keys, cache) in zip(common, self.prompts)
            ]
            best = max(range(len(usable)), key=usable.__getitem__, default=-1)
            if best < 0 or usable[best] == 0:
                return self.long.new_cache(self.model.lm.c), []
            length, (keys, cache) = usable[best], self.prompts[best]
            if _common_prefix(keys, prompt.keys) == len(keys):  # it goes on from there
                self.prompts.pop(best)
                cache.cut(length)
            else:
                cache = cache.first(length)
        return cache, keys[:length]

    @property
    def _longest_reused(self) -> float:
        """Most tokens of texts that begin alike whose keys are the same: of models whose positions turn with the length of a text, those of its training."""
        c = self.model.lm.c
        return c.rope_trained if c.rope_growth else math.inf

    def _remember(self, keys: list[Key], cache: Cache) -> None:
        """Keep a prompt's cache for the next question."""
        with self.lock:
            if cache.holds(len(keys)):
                cache.cut(len(keys))
                self.prompts.append((keys, cache))
                while len(self.prompts) > 1 and (
                    len(self.prompts) > CACHED_PROMPTS or sum(cache.bytes for _, cache in self.prompts) > PROMPT_BYTES
                ):
                    self.prompts.pop(0)

    @property
    def _tells_apart(self) -> bool:
        """Whether a picture is shown otherwise where it is the only one of a request."""
        return isinstance(self.model.c, AnyresAssistantConfig) and self.model.c.alone

    def encode_images(self, messages: tuple[Message, ...]) -> dict[str, ImageFeatures]:
        """Return the features of every image by its digest: tokens of all its views, the rest of the whole.

        Raises UnreadableMedia.
        """
        pictures, found = [picture for message in messages for picture in message.pictures], {}
        alone = len(pictures) == 1 or not self._tells_apart
        for picture in pictures:
            with self.image_lock:
                features = self.features.get((picture.digest, alone))
                if features is None:
                    seen = picture.views(self.model.c, alone)
                    with self.lock, torch.inference_mode():
                        views = self.model.encode_image(torch.from_numpy(normalize_pixels(seen.pixels, self.model.c.prep)))
                        tokens = self.model.arrange(views.tokens, seen.tiling)
                    text = self.model.picture_text(self.chat.mark, views.tokens.shape[1], seen.tiling)
                    features = ImageFeatures(tokens, views.patches[0], views.crop_embeddings[0], text, views.grid)
                found[picture.digest] = features
                if features.bytes <= IMAGE_BYTES:
                    self.features[picture.digest, alone] = features
        return found


def _grounding_of(model: Llava, chat: Chat) -> GroundingAugmenter | None:
    """Return what locates things in images, for a model that has a label bank."""
    if not isinstance(model, LabelledLlava) or model.memory is None:
        return None
    return GroundingAugmenter(model.memory, chat.tokenizer, model.lm.embed)


def _common_prefix(a: list[Key], b: list[Key]) -> int:
    """Return how many first items two lists have in common."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
