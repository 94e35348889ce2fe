"""What a long text is read for: the facts that are hidden in it, and the perplexity at its end."""

import torch
from typer.testing import CliRunner

from samespace.assistant import checkpoint, registry
from samespace.cli.main import app
from samespace.evaluate import long_context
from samespace.evaluate.long_context import ASKED, CITIES, LONG_WAYS, SCORED, WAYS, read_lengths, read_text, with_facts

WORDS = "a red cat sleeps beside the harbour while the old ship waits for rain. " * 90


def language_of(folder):
    language = checkpoint.read(folder)[1]
    language.model.head.weight.data *= 0.02  # random weights are less sure of themselves
    return language


def test_facts_are_spread_over_all_but_the_end(tiny_folder):
    language = language_of(tiny_folder)
    ids = language.tokenizer.encode(WORDS, add_special_tokens=False).ids
    tokens, facts = with_facts(language, ids, 1024)
    text = language.tokenizer.decode(tokens)
    assert len(tokens) == 1024 and list(facts) == list(CITIES) and all(len(number) == 5 for number in facts.values())
    places = [text.index(f"number of {city} is {number}") for city, number in facts.items()]
    assert places == sorted(places) and "secret" not in language.tokenizer.decode(tokens[-SCORED:])
    assert with_facts(language, ids, 1024) == (tokens, facts)


def test_perplexity_is_that_of_reading_all_at_once(tiny_folder):
    language = language_of(tiny_folder)
    ids = language.tokenizer.encode(WORDS, add_special_tokens=False).ids
    reading = read_text(language, ids, 1024, "trained", "exact")
    tokens = torch.tensor([with_facts(language, ids, 1024)[0]])
    with torch.inference_mode():
        logits = language.model.logits(language.model(language.model.embed(tokens)))[0, -SCORED - 1 : -1]
    expected = float(torch.nn.functional.cross_entropy(logits, tokens[0, -SCORED:]).exp())
    assert abs(reading.perplexity / expected - 1) < 1e-3 and reading.needles == 0 and reading.cache_mb > 0


def test_a_number_that_the_model_goes_on_with_is_found(tiny_folder, monkeypatch):
    language = language_of(tiny_folder)
    model, encode = language.model, lambda text: language.tokenizer.encode(text, add_special_tokens=False).ids
    answer = [*encode(" 12345"), *encode(" and")]

    def said(state):
        return torch.nn.functional.one_hot(torch.tensor(answer[said.count]), model.c.vocab)

    for number, found in (("12345", True), ("54321", False)):
        said.count = -1

        def logits(x):
            said.count = min(said.count + 1, len(answer) - 1)
            return said(x)

        monkeypatch.setattr(model, "logits", logits)
        with torch.inference_mode():
            cache = long_context.Cache(model.c.layers)
            model(model.embed(torch.tensor([encode(ASKED)])), cache)
            assert long_context._answered(model, language, cache, "Oslo", number) is found


def test_each_way_is_tried_where_it_applies(tiny_folder):
    language = language_of(tiny_folder)
    assert language.model.c.context < 1024
    readings = list(read_lengths(language, WORDS, [1024]))
    assert [(r.positions, r.cache) for r in readings] == list(LONG_WAYS)
    assert len({round(r.perplexity, 4) for r in readings}) >= 4  # they differ
    exact, int8 = readings[3], readings[4]
    assert int8.cache_mb < 0.5 * exact.cache_mb and abs(int8.perplexity / exact.perplexity - 1) < 0.02
    language.model.c = long_context.scaled(language.model.c, {"rope_type": "dynamic", "factor": 4.0})
    assert [(r.positions, r.cache) for r in read_lengths(language, WORDS, [1024])] == list(WAYS)


def test_the_command_prints_a_row_for_each_way_and_refuses_texts_that_are_too_short(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr(registry, "read_language_model", lambda name: language_of(tiny_folder))
    (tmp_path / "short.txt").write_text("a cat")
    (tmp_path / "long.txt").write_text(WORDS)
    result = CliRunner().invoke(app, ["eval", "context", str(tmp_path / "long.txt"), "--lengths", "1024"])
    assert result.exit_code == 0 and [line.split()[1] for line in result.output.splitlines()[1:]] == [way[0] for way in LONG_WAYS]
    for options, message in ((["--lengths", "1024"], "lengths between"), (["--lengths", "many"], "as 1024,4096")):
        result = CliRunner().invoke(app, ["eval", "context", str(tmp_path / "short.txt"), *options])
        assert result.exit_code != 0 and message in result.output + result.stderr
