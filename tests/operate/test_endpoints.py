"""Models behind endpoints: exchanges in the providers' shapes with a server of this machine, and coordinates there and back."""

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from samespace.assistant.request import Outcome, Reply
from samespace.core.errors import OperationStopped, RequestError
from samespace.operating.adapters import anthropic, openai
from samespace.operating.adapters.chat import ChatPolicy, json_in
from samespace.operating.adapters.frame import Frame
from samespace.operating.screen.actions import Click, Done, Drag, HoldKey, Key, Move, Screenshot, Scroll, Type, Wait, Zoom
from samespace.operating.screen.policy import Look

SCREEN = (1280, 800)


class Provider(BaseHTTPRequestHandler):
    """Answers with what it was told to, in turn, and remembers what it was asked."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), body))
        status, answer = self.server.answers.pop(0)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def provider():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.asked, server.answers = [], []
    server.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def look(colour: str = "white", size=SCREEN, **fields) -> Look:
    return Look(Image.new("RGB", size, colour), **fields)


def picture_in(data: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data.rpartition(",")[2])))


def tool_use(number: int, name: str, **values):
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "toolset_name": "computer", "input": values}


def message(*content, stop="tool_use"):
    return 200, {
        "role": "assistant",
        "stop_reason": stop,
        "content": list(content),
        "usage": {"input_tokens": 1500, "output_tokens": 40},
    }


@pytest.mark.parametrize("screen", [(1000, 1000), (3000, 2000), (1280, 800), (777, 333), (5120, 2880)])
def test_coordinates_land_where_they_were_meant(screen):
    """Every tenth pixel that is shown stands for a pixel of the screen that is shown there."""
    frame = Frame.within(screen, 1568, 1_150_000)
    (width, height), (w, h) = frame.screen, frame.shown
    assert max(w, h) <= 1568 and w * h <= 1_150_000 and abs(w / h - width / height) < 0.01
    for x in range(0, w, 10):
        for y in range(0, h, 10):
            column, row = frame.to_screen(x, y)
            assert 0 <= column < width and 0 <= row < height and (column * w // width, row * h // height) == (x, y)
    assert frame.to_screen(-5, 10**6) == (0, height - 1)


def test_a_screen_that_fits_is_shown_as_it_is():
    frame = Frame.within(SCREEN, 2576, 4784 * 784)
    assert frame.shown == SCREEN and all(frame.to_screen(x, x // 2) == (x, x // 2) for x in range(0, 1280, 7))


def test_a_toolset_of_anthropics(provider):
    provider.answers += [
        message({"type": "text", "text": "The field first."}, tool_use(1, "left_click", coordinate=[640, 60]), tool_use(2, "type", text="cats"),
                tool_use(3, "zoom", region=[0, 0, 640, 400])),
        message({"type": "text", "text": "It is done."}, stop="end_turn"),
    ]  # fmt: skip
    policy = anthropic.AnthropicPolicy("claude-opus-5", provider.address)
    policy.begin("Find cats", SCREEN)
    decision = policy.decide(look())
    assert (
        decision.actions == (Click(640, 60), Type("cats"), Zoom(0, 0, 640, 400))
        and decision.thought == "The field first."
        and decision.tokens == 1540
    )
    end = policy.decide(look("red", notes=("the page said: Hello",), done=3, closer=Image.new("RGB", SCREEN, "blue")))
    assert end.actions == (Done("It is done."),)
    (path, headers, first), (_, _, second) = provider.asked
    assert path == "/v1/messages" and headers["anthropic-version"] == "2023-06-01" and "anthropic-beta" not in headers
    assert first["tools"] == [
        {"type": "computer_toolset_20260801", "configs": {n: {"enabled": False} for n in anthropic.NOT_DONE}}
    ]
    assert first["messages"] == [{"role": "user", "content": "Find cats"}]
    results = second["messages"][2]["content"]
    assert [r["tool_use_id"] for r in results] == ["toolu_1", "toolu_2", "toolu_3"] and all(
        r["toolset_name"] == "computer" for r in results
    )
    assert results[0]["content"] == [{"type": "text", "text": "OK"}]
    assert results[2]["content"][0]["text"] == "the page said: Hello"
    assert picture_in(results[2]["content"][1]["source"]["data"]).convert("RGB").getpixel((3, 3)) == (0, 0, 255)


@pytest.mark.parametrize(
    ("done", "told"), [(0, ["no", "HALTED", "HALTED"]), (2, ["OK", "no", "HALTED"]), (3, ["OK", "OK", "no"])]
)
def test_claude_is_told_what_was_done_of_a_turn(provider, done, told):
    keys = {"text": "Down", "repeat": 2}
    provider.answers += [
        message(tool_use(1, "left_click", coordinate=[640, 60]), tool_use(2, "key", **keys), tool_use(3, "type", text="x"))
    ]
    provider.answers += [message({"type": "text", "text": "CANNOT"}, stop="end_turn")]
    policy = anthropic.AnthropicPolicy("claude-opus-5", provider.address)
    policy.begin("Find cats", SCREEN)
    policy.decide(look())
    policy.decide(look(notes=("no", "a download was refused"), done=done))
    results = provider.asked[1][2]["messages"][2]["content"]
    texts = {"OK": "OK", "no": "no; a download was refused", "HALTED": anthropic.HALTED}
    assert [result["content"][0]["text"] for result in results] == [texts[one] for one in told]
    assert [result.get("is_error", False) for result in results] == [one != "OK" for one in told]


def test_old_screenshots_are_not_sent_again(provider):
    provider.answers += [message(tool_use(n, "screenshot")) for n in range(6)]
    policy = anthropic.AnthropicPolicy("claude", provider.address)
    policy.begin("x", SCREEN)
    for _ in range(6):
        policy.decide(look(done=1))
    sent = [
        part for m in provider.asked[-1][2]["messages"] if m["role"] == "user" and m["content"] != "x" for part in m["content"]
    ]
    assert [part["content"][1]["type"] for part in sent] == ["text", "text", "image", "image", "image"]


def test_the_single_tool_of_anthropics(provider):
    single = {
        "type": "tool_use",
        "id": "toolu_9",
        "name": "computer",
        "input": {"action": "right_click", "coordinate": [10, 20], "text": "shift"},
    }
    provider.answers += [message(single), message({"type": "text", "text": "CANNOT: there is no train"}, stop="end_turn")]
    policy = anthropic.AnthropicPolicy("claude-opus-4-5", provider.address, anthropic.SINGLE)
    policy.begin("Book", (2560, 1600))
    decision = policy.decide(look(size=(2560, 1600)))
    width, height = policy.frame.shown
    assert decision.actions == (Click(*policy.frame.to_screen(10, 20), "right", 1, "shift"),) and width * height <= 1_150_000
    assert policy.decide(look(size=(2560, 1600))).actions == (Done("there is no train", False),)
    _, headers, first = provider.asked[0]
    assert headers["anthropic-beta"] == "computer-use-2025-11-24"
    assert first["tools"] == [
        {
            "type": "computer_20251124",
            "name": "computer",
            "display_width_px": width,
            "display_height_px": height,
            "enable_zoom": True,
        }
    ]
    result = provider.asked[1][2]["messages"][2]["content"][0]
    assert "toolset_name" not in result and picture_in(result["content"][1]["source"]["data"]).size == (width, height)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("key", {"text": "ctrl+s"}, [Key("ctrl+s")]), ("key", {"text": "Down", "repeat": 3}, [Key("Down")] * 3),
        ("hold_key", {"text": "shift", "duration": 2}, [HoldKey("shift", 2.0)]), ("mouse_move", {"coordinate": [5, 6]}, [Move(5, 6)]),
        ("left_click_drag", {"start_coordinate": [1, 2], "coordinate": [3, 4]}, [Drag(((1, 2), (3, 4)))]),
        ("middle_click", {"coordinate": [5, 6]}, [Click(5, 6, "middle")]), ("triple_click", {"coordinate": [5, 6]}, [Click(5, 6, "left", 3)]),
        ("double_click", {}, [Click(640, 400, "left", 2)]), ("wait", {"duration": 1.5}, [Wait(1.5)]), ("screenshot", {}, [Screenshot()]),
        ("scroll", {"scroll_direction": "up", "scroll_amount": 3, "coordinate": [5, 6]}, [Scroll(5, 6, 0, -300)]),
    ],
)  # fmt: skip
def test_members_of_the_toolset(provider, name, values, expected):
    policy = anthropic.AnthropicPolicy("claude", provider.address)
    policy.begin("x", SCREEN)
    assert list(policy.actions(tool_use(1, name, **values))) == expected


@pytest.mark.parametrize(
    "block",
    [
        tool_use(1, "fly"),
        tool_use(1, "left_click", coordinate="here"),
        tool_use(1, "scroll"),
        tool_use(1, "key"),
        tool_use(1, "zoom", region=[1]),
        tool_use(1, "type") | {"input": ["x"]},
    ],
)
def test_nonsense_of_anthropics_is_a_sentence(provider, block):
    provider.answers += [message(block)]
    policy = anthropic.AnthropicPolicy("claude", provider.address)
    policy.begin("x", SCREEN)
    with pytest.raises(RequestError, match="is no action"):
        policy.decide(look())


def call(number: int, *actions, checks=(), **single):
    item = {
        "type": "computer_call",
        "id": f"cu_{number}",
        "call_id": f"call_{number}",
        "status": "completed",
        "pending_safety_checks": list(checks),
    }
    return 200, {
        "id": f"resp_{number}",
        "output": [{"type": "reasoning", "summary": []}, item | ({"actions": list(actions)} if actions else {}) | single],
        "usage": {"total_tokens": 900},
    }


def test_calls_of_openais_with_several_actions(provider):
    provider.answers += [
        call(1, {"type": "click", "button": "wheel", "x": 405, "y": 157, "keys": ["CTRL"]}, {"type": "type", "text": "penguin"},
             {"type": "keypress", "keys": ["CTRL", "A"]}, {"type": "drag", "path": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]}, {"type": "wait"}),
        call(2, {"type": "scroll", "x": 5, "y": 6, "scroll_x": 0, "scroll_y": 100}, {"type": "double_click", "x": 7, "y": 8}, {"type": "move", "x": 9, "y": 9}, {"type": "screenshot"}),
        (200, {"id": "resp_3", "output": [{"type": "message", "content": [{"type": "output_text", "text": "Found it."}]}], "usage": {"total_tokens": 10}}),
    ]  # fmt: skip
    policy = openai.OpenAIPolicy("gpt-5.6", provider.address)
    policy.begin("Find it", SCREEN)
    first = policy.decide(look())
    assert (
        first.actions == (Click(405, 157, "middle", 1, "CTRL"), Type("penguin"), Key("CTRL+A"), Drag(((1, 2), (3, 4))), Wait(2.0))
        and first.tokens == 900
    )
    second = policy.decide(look(notes=("refused: a new window",)))
    assert second.actions == (Scroll(5, 6, 0, 100), Click(7, 8, "left", 2), Move(9, 9), Screenshot())
    assert policy.decide(look()).actions == (Done("Found it."),)
    bodies = [body for _, _, body in provider.asked]
    assert bodies[0]["tools"] == [{"type": "computer"}] and bodies[0]["input"][0]["content"][0]["text"] == "Find it"
    output, note = bodies[1]["input"]
    assert (
        bodies[1]["previous_response_id"] == "resp_1"
        and output["call_id"] == "call_1"
        and note["content"][0]["text"] == "(The browser, not the person: refused: a new window)"
    )
    assert picture_in(output["output"]["image_url"]).size == SCREEN and bodies[2]["input"][0]["call_id"] == "call_2"


def test_the_preview_and_its_warnings(provider):
    check = {"id": "cu_sc_1", "code": "malicious_instructions", "message": "The page gives instructions."}
    provider.answers += [call(1, action={"type": "click", "button": "left", "x": 1, "y": 2}, checks=[check])] * 2 + [
        call(2, action={"type": "wait"})
    ]
    asked = []
    policy = openai.OpenAIPolicy("computer-use-preview", provider.address, lambda question: bool(asked.append(question)))
    policy.begin("x", SCREEN)
    assert (
        policy.decide(look()).actions == (Done("you refused to go on after a warning", False),)
        and "gives instructions" in asked[0]
    )
    willing = openai.OpenAIPolicy("computer-use-preview", provider.address, lambda question: True)
    willing.begin("x", SCREEN)
    assert willing.decide(look()).actions == (Click(1, 2),) and willing.decide(look()).actions == (Wait(2.0),)
    body = provider.asked[-1][2]
    assert body["tools"] == [
        {"type": "computer_use_preview", "display_width": 1280, "display_height": 800, "environment": "browser"}
    ]
    assert body["truncation"] == "auto" and body["input"][0]["acknowledged_safety_checks"] == [check]


@pytest.mark.parametrize(
    "action",
    [
        {"type": "fly"},
        {"type": "click"},
        {"type": "click", "button": "fifth", "x": 1, "y": 1},
        {},
        None,
        {"type": "drag", "path": [3]},
        "click",
    ],
)
def test_nonsense_of_openais_is_a_sentence(provider, action):
    provider.answers += [call(1, action)]
    policy = openai.OpenAIPolicy("gpt", provider.address)
    policy.begin("x", SCREEN)
    with pytest.raises(RequestError, match="is no action"):
        policy.decide(look())


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((401, {"error": {"message": "invalid x-api-key"}}), "refuses with 401 .invalid x-api-key.; check model and key"), ((200, b"<html>"), "does not answer in JSON"),
        ((200, {"content": "hello", "output": "hello"}), "answers nothing that is a"), ((302, b"{}"), "answers nothing that is a"), ((200, [1]), "refuses with 200"),
    ],
)  # fmt: skip
def test_endpoints_that_fail_are_a_sentence(provider, answer, sentence):
    provider.answers += [answer] * 2
    for policy in (anthropic.AnthropicPolicy("m", provider.address), openai.OpenAIPolicy("m", provider.address)):
        policy.begin("x", SCREEN)
        with pytest.raises((RequestError, OperationStopped), match=sentence):
            policy.decide(look())


def test_an_endpoint_that_is_not_there_is_a_sentence():
    policy = openai.OpenAIPolicy("m", "http://127.0.0.1:9")
    policy.begin("x", SCREEN)
    with pytest.raises(OperationStopped, match="does not answer"):
        policy.decide(look())


def test_keys_are_sent_to_their_own_provider_only(provider, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    provider.answers += [message({"type": "text", "text": "x"})] * 2
    policy = anthropic.AnthropicPolicy("m", provider.address)
    policy.begin("x", SCREEN)
    policy.decide(look())
    assert "secret" not in json.dumps(provider.asked[0][1])
    monkeypatch.setenv("SAMESPACE_ASSISTANT_KEY", "mine")
    again = anthropic.AnthropicPolicy("m", provider.address)
    again.begin("x", SCREEN)
    again.decide(look())
    assert {name.lower(): value for name, value in provider.asked[1][1].items()}["x-api-key"] == "mine"


class Answering:
    """An assistant that answers with texts, in turn."""

    name, takes_sound = "answering", False

    def __init__(self, *texts: str):
        self.texts, self.requests = list(texts), []

    def answer(self, request):
        self.requests.append(request)
        return Reply(iter([self.texts.pop(0)]), Outcome(prompt=100, answer=10))


def test_any_assistant_that_sees_answers_in_thousandths():
    assistant = Answering(
        'Sure! ```json\n{"thought": "the button", "action": "click", "x": 500, "y": 1000}\n```', '{"action": "drag", "path": [[0, 0], [250, 500]]}',
        '{"action": "scroll", "x": 1, "y": 2, "dy": 500}', '{"action": "done", "answer": "42", "reached": true}',
    )  # fmt: skip
    policy = ChatPolicy(assistant)
    policy.begin("Find it", SCREEN)
    decisions = [policy.decide(look(notes=("the page said: Hello",))) for _ in range(4)]
    assert [d.actions[0] for d in decisions] == [Click(640, 799), Drag(((0, 0), (320, 400))), Scroll(1, 2, 0, 400), Done("42")]
    assert decisions[0].thought == "the button" and decisions[0].tokens == 110
    (_, text) = assistant.requests[3].messages[0].parts
    assert "The task: Find it" in text and "click at 640, 799; drag" in text and "The browser notes: the page said: Hello" in text


@pytest.mark.parametrize(
    "text",
    [
        "I would click.",
        '{"thought": "x"}',
        '{"action": "fly"}',
        '{"action": "click", "x": "here", "y": 1}',
        '{"action": "click", "x": 1',
        "[1]",
        '{"action": "click", "x": Infinity, "y": 1}',
        '{"action": "done", "reached": null}',
    ],
)
def test_nonsense_of_an_assistant_is_a_sentence(text):
    policy = ChatPolicy(Answering(text))
    policy.begin("x", SCREEN)
    with pytest.raises(RequestError):
        policy.decide(look())


def test_fields_that_are_null_are_not_there():
    policy = ChatPolicy(Answering('{"action": "type", "text": "a", "x": null, "y": null}'))
    policy.begin("x", SCREEN)
    assert policy.decide(look()).actions == (Type("a"),)


@pytest.mark.parametrize(
    ("stop", "reached"), [("end_turn", True), ("refusal", False), ("max_tokens", False), ("model_context_window_exceeded", False)]
)
def test_only_an_end_of_ones_own_is_a_success(provider, stop, reached):
    provider.answers += [message({"type": "text", "text": "It is"}, stop=stop)]
    policy = anthropic.AnthropicPolicy("m", provider.address)
    policy.begin("x", SCREEN)
    (done,) = policy.decide(look()).actions
    assert done.reached == reached and "It is" in done.answer


@pytest.mark.parametrize(("answer", "reached"), [
    ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "Yes"}]}]}, True),
    ({"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No"}]}]}, False),
    ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "Ye"}]}], "status": "incomplete"}, False), ({"output": []}, False),
])  # fmt: skip
def test_openais_refusals_and_cut_answers_are_no_success(provider, answer, reached):
    provider.answers += [(200, answer)]
    policy = openai.OpenAIPolicy("gpt", provider.address)
    policy.begin("x", SCREEN)
    (done,) = policy.decide(look()).actions
    assert done.reached == reached


def test_an_endpoint_that_is_busy_is_asked_again_with_the_same(provider, monkeypatch):
    monkeypatch.setattr("samespace.operating.adapters.http.PAUSES", (0.01, 0.01))
    first = message(tool_use(1, "screenshot"))
    provider.answers += [
        first,
        (529, {"error": {"message": "overloaded"}}),
        message({"type": "text", "text": "Done"}, stop="end_turn"),
    ]
    policy = anthropic.AnthropicPolicy("m", provider.address)
    policy.begin("x", SCREEN)
    policy.decide(look())
    policy.decide(look())
    assert provider.asked[1][2] == provider.asked[2][2]
    provider.answers += [(429, {"error": {"message": "slow down"}})] * 3
    with pytest.raises(OperationStopped, match="429"):
        policy.decide(look())


def test_the_first_action_in_an_answer_counts():
    assert json_in('{"a": {"b": 1}} then {"action": "wait"} or {"action": "done"}') == {"action": "wait"}
