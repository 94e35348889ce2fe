"""`samespace operate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import QueryError
from ..core.paths import expanded
from .console import Json, escape_control, needs_extra, print_result, print_status

if TYPE_CHECKING:
    from ..operating.loop import Operation, Step
    from ..operating.replay import Replay
    from ..operating.screen.actions import Action
    from ..operating.screen.consent import Consent
    from ..operating.screen.driver import Driver
    from ..operating.screen.policy import Outcome


def operate(
    url: Annotated[
        str, typer.Argument(metavar="[URL]", help="The page to begin with; or desktop, an X11 display (desktop:7).")
    ] = "",
    task: Annotated[str, typer.Argument(metavar="[TASK]", help='What to do: "Type Ada into Name and press Send".')] = "",
    assistant: Annotated[
        str,
        typer.Option(
            "--assistant",
            "-a",
            envvar="SAMESPACE_OPERATOR",
            help="local; anthropic:MODEL, openai:MODEL; or any assistant that sees.",
        ),
    ] = "local",
    steps: Annotated[int, typer.Option(min=1, max=500, help="Most steps.")] = 20,
    seconds: Annotated[float, typer.Option(min=1, help="Most seconds.")] = 600,
    tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a model.")] = 500_000,
    allow_origin: Annotated[
        list[str] | None, typer.Option("--allow-origin", help="An origin that the page may lead to, beside its own.")
    ] = None,
    confirm: Annotated[
        str, typer.Option(help="Ask you first: always; submits, before what sends, buys, deletes or downloads; never.")
    ] = "submits",
    headed: Annotated[bool, typer.Option("--headed", help="Show the browser.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Do what a replay did, and go on from there.")] = None,
    replay: Annotated[Path, typer.Option(help="The replay to write.")] = Path("replay.html"),
    json_: Json = False,
) -> None:
    """Do a task on a web page: look, decide, act, look again. A fresh browser profile, and a replay of every step."""
    with needs_extra("operating pages", "operate"):
        from ..operating.loop import Limits, Operation, without
        from ..operating.operate import LOCAL, open_driver, open_policy
        from ..operating.replay import Replay, read_replay
        from ..operating.screen.consent import CONFIRMS, Consent
        from ..operating.screen.driver import SIZE

    if confirm not in CONFIRMS:
        raise QueryError(f"--confirm is {confirm!r}; choose {', '.join(CONFIRMS)}")
    earlier_task, earlier_url, earlier = read_replay(expanded(resume)) if resume else ("", "", [])
    task, url = task or earlier_task, url or earlier_url
    if not task or not url:
        raise QueryError('give a page and a task: samespace operate https://example.org "Press the button Send"')
    if earlier and assistant == LOCAL and task == earlier_task:
        raise QueryError("without a model a task begins anew; give what is left of it as the task, after the address")
    policy = open_policy(assistant, ask_person)
    policy.begin(task, SIZE)  # a task that is not understood opens no browser
    driver = open_driver(url, tuple(allow_origin or ()), headed)
    try:
        consent = Consent(confirm, ask_person)
        again(driver, earlier, consent)
        record = Replay(expanded(replay), task, url, earlier)
        operation = Operation(driver, policy, consent, Limits(steps, seconds, tokens), lambda step: on_step(step, record))
        outcome = recorded(operation, record, task)
    finally:
        driver.close()
    answer, reason = (without(operation.secrets, text) for text in (outcome.answer, outcome.reason))
    report(answer, outcome.reached, reason, outcome.steps, outcome.tokens, json_)


def recorded(operation: "Operation", record: "Replay", task: str) -> "Outcome":
    """Do a task; what was done until Ctrl-C is in the replay."""
    try:
        return operation.run(task)
    except KeyboardInterrupt:
        operation.outcome.reason = "stopped by you"
        raise
    finally:
        record.end(operation)
        print_status(f"replay: {escape_control(str(record.file))}")


def report(answer: str, reached: bool, reason: str, steps: int, tokens: int, json_: bool) -> None:
    """Print how it ended; exit with 1 where the task was not done."""
    import json

    if json_:
        print_result(json.dumps({"reached": reached, "answer": answer, "reason": reason, "steps": steps, "tokens": tokens}))
    else:
        print_result(escape_control(answer if reached else f"not done: {reason}"))
    if not reached:
        raise typer.Exit(1)


def on_step(step: "Step", record: "Replay") -> None:
    """Print a step in a line, and add it to the replay."""
    from ..operating.loop import without

    done = "; ".join(map(str, step.done)) or "nothing"
    thought = f" ({step.decision.thought})" if step.decision.thought else ""
    result = "" if step.result == "done" else f": {step.result}"
    print_status(escape_control(without(step.secrets, f"{step.number}. {done}{thought}{result}  {step.seconds:.1f} s")))
    record.add(step)


def again(driver: "Driver", actions: "list[Action]", consent: "Consent") -> None:
    """Do what an earlier replay did, if the person agrees; what was typed into password fields is not in it. Raises QueryError."""
    from ..operating.loop import HIDDEN
    from ..operating.screen.actions import Done, Type
    from ..operating.screen.driver import settled

    if any(isinstance(action, Type) and HIDDEN in action.text for action in actions):
        raise QueryError("the replay hides what was typed into a password field; do this part by hand, in a task of its own")
    todo = [action for action in actions if not isinstance(action, Done)]
    if todo and not consent.allows_again(todo):
        raise QueryError("what the replay did is not done again; leave --resume out to begin anew")
    for action in todo:
        settled(driver)
        driver.act(action)


def ask_person(question: str) -> bool:
    """Ask the person at the terminal; without one the answer is no."""
    if not sys.stdin.isatty():
        print_status(f"{escape_control(question)} There is nobody to ask: no. Allow it with --confirm never")
        return False
    return typer.confirm(escape_control(question), err=True)
