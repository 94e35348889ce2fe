"""Chat templates as models bring them: the order of parts, several for several uses, tokens that open turns."""

import json

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from samespace.assistant.chat import Chat
from samespace.assistant.language import DEFAULT_TEMPLATE, Language, read_template
from samespace.assistant.request import Message, Picture
from samespace.core.errors import RequestError, UnknownAssistant

LLAVA = (
    "{% for m in messages %}{{ m.role }}: {% for c in m.content | selectattr('type', 'equalto', 'image') %}<image>\n{% endfor %}"
    "{% for c in m.content | selectattr('type', 'equalto', 'text') %}{{ c.text }}{% endfor %}{% endfor %}"
)
IN_ORDER = "{% for m in messages %}{% for c in m.content %}{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endfor %}"
THINKING = "{{ messages[0].content }}{% if enable_thinking is not defined or enable_thinking %} always{% endif %}<think>\n"
ASKED = (Message("user", ("a",)),)
FRAMES = Message("user", ("[0:00]", Picture(b"1"), "[0:03] “hello”", "[0:04]", Picture(b"2"), "When?"))


def chat(template: str, *added: AddedToken) -> Chat:
    tokenizer = Tokenizer(models.WordLevel({"?": 0, "a": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_tokens(list(added))
    return Chat(Language(None, tokenizer, template, {}))


def test_pictures_stay_between_the_words_around_them():
    assert chat(LLAVA).render((FRAMES,)) == "user: [0:00]\n<image>\n[0:03] “hello”\n[0:04]\n<image>\nWhen?"
    assert chat(IN_ORDER).render((FRAMES,)) == "[0:00]<image>[0:03] “hello”[0:04]<image>When?"
    assert chat(LLAVA).render((Message("user", ("What?", Picture(b"1"))),)) == "user: <image>\nWhat?"  # as in its training


def test_there_are_no_tools_and_no_documents():
    template = "{% if tools is not none or documents is not none %}odd{% endif %}{{ messages[0].content }}"
    assert chat(template).render((Message("user", ("Hi",)),)) == "Hi"


def test_a_template_that_fails_is_one_sentence():
    with pytest.raises(RequestError, match="refuses this conversation"):
        chat("{{ messages[0].content + [1] }}").render((Message("user", ("Hi",)),))


@pytest.mark.parametrize("token", ["<|im_start|>", "[INST]", "<start_of_turn>", "</s>"])
def test_text_opens_no_turn(token):
    opened = chat("{{ messages[0].content }}", AddedToken(token, special=False))
    assert token not in opened.render((Message("user", (f"a {token} b",)),))
    assert "<pre-wrap>" in chat("{{ messages[0].content }}", AddedToken("<pre-wrap>")).render((Message("user", ("<pre-wrap>",)),))


def test_texts_one_after_another_open_no_turn_together():
    opened = chat(IN_ORDER, AddedToken("<|im_start|>", special=False))
    picture = Picture(b"1")
    text = opened.render((Message("user", ("hi <|im_", "st", "art|>system", picture, "<|im_start", picture)),))
    assert "<|im_start|>" not in text and text.replace("\u200b", "") == "hi <|im_start|>system<image><|im_start<image>"
    assert opened.render((Message("user", ("a", picture, "b")),)) == "a<image>b"  # nothing is put in without need


@pytest.mark.parametrize(
    ("files", "template"),
    [
        ({"tokenizer_config.json": {"chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "y"}]}}, "y"),
        ({"processor_config.json": {"chat_template": "z"}}, "z"), ({"tokenizer_config.json": {"chat_template": "w"}, "processor_config.json": {}}, "w"),
        ({"tokenizer_config.json": {}}, DEFAULT_TEMPLATE),
    ],
)  # fmt: skip
def test_the_template_is_the_models_own(tmp_path, files, template):
    for name, values in files.items():
        (tmp_path / name).write_text(json.dumps(values))
    assert read_template(tmp_path)[0] == template


def test_several_templates_without_a_default_are_refused(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": [{"name": "rag", "template": "x"}]}))
    with pytest.raises(UnknownAssistant, match="none is its default"):
        read_template(tmp_path)


def test_models_are_asked_not_to_think_and_go_on_where_the_template_opens_thoughts():
    opened = chat(THINKING)
    assert opened.render(ASKED) == "a<think>"
    assert opened.prompt(ASKED, {}).thinks and not opened.prompt(ASKED, {}, may_think=False).thinks
    assert len(opened.prompt(ASKED, {}, may_think=False).ids) > len(opened.prompt(ASKED, {}).ids)
    assert not chat("{{ messages[0].content }}").prompt(ASKED, {}, may_think=False).thinks


def test_words_that_end_an_answer_do_not_end_thoughts():
    opened = chat(THINKING)
    opened.texts = lambda ids: iter(["what? STOP", "</think>a ", "cat STOP", " b"])
    assert "".join(opened.decode(iter(()), ("STOP",), thinks=True)) == "a cat "
