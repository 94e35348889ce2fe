"""`samespace train` and `samespace eval`."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import MissingExtra, UnknownSpace
from .console import OneSentence, counting_bar, lines_of, out, say, training_bar

evaluate = typer.Typer(cls=OneSentence, help="Measure a space.", no_args_is_help=True)

Pairs = Annotated[str, typer.Argument(metavar="PAIRS", help="A TSV of filepath, title; or any source a run card takes.")]
Classes = Annotated[str, typer.Argument(metavar="DIR|TSV", help="A folder for each class, or a TSV of filepath, title.")]
SpaceName = Annotated[str, typer.Option("--space", "-s", envvar="SAMESPACE_SPACE", help="Name or folder of a space.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, as CLIP_benchmark writes them.")]
Templates = Annotated[Path | None, typer.Option(help="File of sentences with {} for the label, one a line.")]


def train(
    card: Annotated[Path, typer.Argument(metavar="RUN.toml", help="The run card.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings laid over the card's.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show shapes, sizes and the first batch; train nothing.")] = False,
) -> None:
    """Train a space from a run card: pairs in, a space folder out."""
    try:
        from ..train import assistant_run as assist
        from ..train import dry_run as dry
        from ..train import run
    except ImportError as error:
        raise MissingExtra(f"training ({error.name})", "train") from None
    from ..train.config import read_card

    said = read_card(card, overrides or ())
    new = said.task != "space"
    if dry_run:
        for line in (assist if new else dry).report(said):
            out(line)
        return
    command = shlex.join(["samespace", "train", str(card), *(overrides or ())])
    with training_bar() as show:
        config = (assist if new else run).run(said, resume, show, command)
    if config is not None and new:
        out(f"validation: {json.dumps(config.card['validation'])}")
        out(f"assistant: {said.out}/assistant (use it with --assistant {said.out}/assistant)")
    elif config is not None:
        for line in run.summary(config):
            out(line)
        out(f"space: {said.out}/space (use it with --space {said.out}/space)")


@evaluate.command("retrieval")
def eval_retrieval(
    pairs: Pairs,
    space: SpaceName = "starter",
    json_: Json = False,
) -> None:
    """Recall of pictures by their captions, and of captions by their pictures."""
    from ..evaluate.retrieval import retrieval
    from ..spaces import hub

    loaded = hub.load(space)
    squares, captions = pairs_of(pairs, loaded)
    show(pairs, space, "zeroshot_retrieval", retrieval(loaded, squares, captions), json_)


@evaluate.command("zeroshot")
def eval_zeroshot(
    pictures: Classes,
    templates: Templates = None,
    space: SpaceName = "starter",
    json_: Json = False,
) -> None:
    """Accuracy of naming pictures' classes with words alone."""
    from ..evaluate.zeroshot import TEMPLATES, accuracy
    from ..spaces import hub

    loaded = hub.load(space)
    squares, captions = pairs_of(pictures, loaded)
    labels = sorted({some[0] for some in captions})
    right = [labels.index(some[0]) for some in captions]
    sentences = lines_of(templates) if templates else TEMPLATES
    show(pictures, space, "zeroshot_classification", accuracy(loaded, squares, right, labels, sentences), json_)


@evaluate.command("probe")
def eval_probe(
    pictures: Classes,
    space: SpaceName = "starter",
    json_: Json = False,
) -> None:
    """Accuracy of a linear classifier on the space's vectors, cross-validated."""
    from ..evaluate.probe import linear_probe
    from ..spaces import hub

    loaded = hub.load(space)
    squares, captions = pairs_of(pictures, loaded)
    show(pictures, space, "linear_probe", linear_probe(loaded.pixels(squares), [some[0] for some in captions]), json_)


@evaluate.command("vqa")
def eval_vqa(
    questions: Annotated[Path, typer.Argument(metavar="FILE.json", help="A list of image, question, answer(s), kind.")],
    assistant: Annotated[str, typer.Option("--assistant", "-a", envvar="SAMESPACE_ASSISTANT", help="Whose answers.")] = "starter",
    blind: Annotated[bool, typer.Option("--blind", help="Ask without the pictures: what the words alone give away.")] = False,
    samples: Annotated[Path | None, typer.Option(help="Write every answer to this file, one JSON object a line.")] = None,
    json_: Json = False,
) -> None:
    """Exact match of an assistant's answers, for each kind of question; POPE's numbers for yes and no."""
    from ..assistant.open import open_assistant
    from ..evaluate.vqa import answer_all, read_questions, scores

    asked, opened = read_questions(questions), open_assistant(assistant)
    with counting_bar("asking", len(asked)) as count:
        answered = list(answer_all(opened, asked, blind, count))
    if samples:
        samples.write_text("".join(json.dumps(s, ensure_ascii=False) + "\n" for s in answered), "utf-8")
    for kind, metrics in scores(answered).items():
        if json_:
            task = {"task": f"vqa_{kind}", "blind": blind, "metrics": metrics, "language": "en"}
            out(json.dumps({"dataset": questions.stem, "model": opened.name, "pretrained": assistant} | task))
        else:
            out(f"{kind:12} " + "  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in metrics.items()))


@evaluate.command("calibration")
def eval_calibration(
    pairs: Pairs,
    space: SpaceName = "starter",
    json_: Json = False,
) -> None:
    """Whether the shown relevance tells right best hits from wrong ones; half of the pictures are taken away first."""
    from ..evaluate.retrieval import answers
    from ..spaces import hub
    from ..spaces.calibration import measure

    loaded = hub.load(space)
    calibration = loaded.calibration()
    if calibration is None:
        raise UnknownSpace(f"{space} has no calibration; make one with: samespace spaces export {space} FOLDER")
    squares, captions = pairs_of(pairs, loaded)
    queries, right = answers(captions)
    metrics = measure(calibration, loaded.pixels(squares), loaded.text(queries), right)
    show(pairs, space, "calibration", metrics, json_)


def pairs_of(path: str, loaded):
    """The pairs of a source, squared for a space; what cannot be read is named and left out."""
    try:
        from ..train.config import Source
        from ..train.data import Bad, read_pairs
    except ImportError as error:
        raise MissingExtra(f"evaluation ({error.name})", "train") from None
    bad = Bad()
    read = read_pairs((Source(path),), loaded.config.prep, bad)
    for name, reason in bad.names.items():
        say(f"skipped {name}: {reason}")
    return read


def show(dataset: str, space: str, task: str, metrics: dict[str, float], as_json: bool) -> None:
    if as_json:
        out(
            json.dumps(
                {"dataset": dataset, "model": space, "pretrained": space, "task": task, "metrics": metrics, "language": "en"}
            )
        )
        return
    for name, value in metrics.items():
        out(f"{name:32} {value:.4f}")
