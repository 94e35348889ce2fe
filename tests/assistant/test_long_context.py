"""Texts longer than a model was trained for: stretched positions, an int8 cache, and a window without end."""

import pytest

from samespace.assistant import checkpoint
from samespace.assistant.engine import Assistant
from samespace.assistant.long_context import MOST_FACTOR, LongContext
from samespace.assistant.request import Message, Request
from samespace.core.assistant_config import LanguageModel
from samespace.core.errors import QueryError, RequestError, UnknownAssistant


def opened(folder, **settings) -> Assistant:
    model, language = checkpoint.read(folder)
    from samespace.assistant.chat import Chat

    return Assistant(model, Chat(language), "tiny", LongContext(**settings))


def asked(words: int, tokens: int = 8) -> Request:
    return Request((Message("user", ("word " * words,)),), max_tokens=tokens)


def test_positions_are_stretched_as_yarn_does():
    c = LanguageModel(context=2048, head_dim=64, rope_base=1e4)
    long = LongContext(8192).of(c)
    assert long.context == 8192 and long.rope_scale == pytest.approx(1.1386, abs=1e-3)
    assert long.rope_divisors[0] == 1 and long.rope_divisors[-1] == pytest.approx(4)
    assert LongContext(1000).of(c) == c == LongContext().of(c)
    with pytest.raises(UnknownAssistant, match=f"{MOST_FACTOR} times"):
        LongContext(2048 * MOST_FACTOR + 1).of(c)
    with pytest.raises(UnknownAssistant, match="stretched already"):
        LongContext(99999).of(long)


def test_what_is_too_long_says_what_to_do_and_is_read_where_more_is_asked_for(tiny_folder):
    with pytest.raises(RequestError, match="--context N, --cache window"):
        opened(tiny_folder).answer(asked(600))
    reply = opened(tiny_folder, context=4096).answer(asked(600))
    text = "".join(reply)
    assert text and text == "".join(opened(tiny_folder, context=4096).answer(asked(600)))
    assert reply.outcome.prompt > 512 and reply.outcome.context == 4096


def test_int8_answers_a_conversation_that_goes_on(tiny_folder):
    rounded = opened(tiny_folder, cache="int8")
    first = rounded.answer(asked(40))
    text = "".join(first)
    again = rounded.answer(asked(40))
    assert "".join(again) == text and again.outcome.reused > 30
    assert "".join(opened(tiny_folder, cache="int8").answer(asked(40))) == text


def test_a_window_reads_on_without_end_and_goes_on_with_what_it_has_read(tiny_folder):
    endless = opened(tiny_folder, cache="window")
    reply = endless.answer(asked(900, tokens=12))
    text = "".join(reply)
    assert reply.outcome.prompt > 900 and reply.outcome.answer <= 12
    (keys, cache), *_ = endless.prompts
    assert cache.forgotten > 0 and cache.length <= 512 and len(keys) == cache.length + cache.forgotten
    again = endless.answer(asked(900, tokens=12))  # not a continuation: it is read again
    assert "".join(again) == text and again.outcome.reused == 0
    short = "".join(endless.answer(asked(5)))
    assert short == "".join(opened(tiny_folder).answer(asked(5)))  # a text that fits is read as ever


def test_the_environment_chooses_and_what_it_cannot_mean_is_refused(monkeypatch):
    monkeypatch.setenv("SAMESPACE_CONTEXT", "8192")
    monkeypatch.setenv("SAMESPACE_CACHE", "INT8")
    assert LongContext.chosen() == LongContext(8192, "int8")
    monkeypatch.setenv("SAMESPACE_CACHE", "fp4")
    with pytest.raises(QueryError, match="no cache 'fp4'"):
        LongContext.chosen()
    monkeypatch.setenv("SAMESPACE_CACHE", "")
    monkeypatch.setenv("SAMESPACE_CONTEXT", "many")
    with pytest.raises(QueryError, match="'many'"):
        LongContext.chosen()


def test_rows_and_columns_are_not_torn_apart():
    with pytest.raises(UnknownAssistant, match="rows and columns"):
        LongContext(cache="window").of(LanguageModel(rope_sections=(4, 2, 2)))
