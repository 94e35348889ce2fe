"""`samespace train` and `samespace eval`."""

import json
import shlex
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import QueryError, UnknownSpace
from ..core.files import write_text_atomically
from ..core.paths import expanded
from .console import AssistantName, CommandGroup, counting_bar, needs_extra, print_result, print_status, read_lines, training_bar

if TYPE_CHECKING:
    import numpy as np

    from ..spaces.space import Space

evaluate = typer.Typer(
    cls=CommandGroup, help="Measure a space, an assistant, a generator or a native model.", no_args_is_help=True
)

Pairs = Annotated[str, typer.Argument(metavar="PAIRS", help="A TSV of filepath, title, or any source a run config can name.")]
Classes = Annotated[
    str, typer.Argument(metavar="DIR|TSV", help="A folder with a subfolder per class, or a TSV of filepath, title.")
]
SpaceName = Annotated[str, typer.Option("--space", "-s", envvar="SAMESPACE_SPACE", help="Name or folder of a space.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line, in CLIP_benchmark's format.")]


def train(
    config: Annotated[Path, typer.Argument(metavar="RUN.toml", help="The run config.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings that replace those of the run config.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the run's last checkpoint.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show shapes, sizes and the first batch; train nothing.")] = False,
) -> None:
    """Train a space, an assistant, a generator or a native model, as a run config says."""
    with needs_extra("training", "train"):
        from ..train import runs
        from ..train.assistant_run import AssistantRun
        from ..train.config import read_config
        from ..train.drawing_run import DrawingRun
        from ..train.dry_run import report
        from ..train.native_run import NativeRun
        from ..train.space_run import SpaceRun, summary
    settings = read_config(config, overrides or ())
    if dry_run:
        for line in report(settings):
            print_result(line)
        return
    command = shlex.join(["samespace", "train", str(config), *(overrides or ())])
    lines: list[str] | None
    with training_bar() as show:
        if settings.task == "space":
            kind, space = "space", runs.train(SpaceRun, settings, resume, show, command)
            lines = None if space is None else summary(space)
        elif settings.task == "draw":
            kind, generator = "generator", runs.train(DrawingRun, settings, resume, show, command)
            lines = None if generator is None else [f"validation: {json.dumps(generator.card['validation'])}"]
        elif settings.task == "native":
            kind, native = "native", runs.train(NativeRun, settings, resume, show, command)
            lines = None if native is None else [f"validation: {json.dumps(native.card['validation'])}"]
        else:
            kind, assistant = "assistant", runs.train(AssistantRun, settings, resume, show, command)
            lines = None if assistant is None else [f"validation: {json.dumps(assistant.card['validation'])}"]
    if lines is None:  # a helper process; the first process prints
        return
    for line in lines:
        print_result(line)
    option = {"generator": "with", "native": "assistant"}.get(kind, kind)
    print_result(f"{kind}: {settings.out}/{kind} (use it with --{option} {settings.out}/{kind})")


@evaluate.command("retrieval")
def eval_retrieval(pairs: Pairs, space: SpaceName = "starter", json_: Json = False) -> None:
    """Recall of images by their captions, and of captions by their images."""
    from ..evaluate.retrieval import retrieval

    loaded, squares, captions = load(space, pairs)
    print_metrics(pairs, space, "zeroshot_retrieval", retrieval(loaded, loaded.pixels(squares), captions), json_)


@evaluate.command("zeroshot")
def eval_zeroshot(
    images: Classes,
    templates: Annotated[Path | None, typer.Option(help="File of sentences with {} for the label, one per line.")] = None,
    space: SpaceName = "starter",
    json_: Json = False,
) -> None:
    """Zero-shot accuracy: each image gets the class whose name fits best."""
    from ..evaluate.zeroshot import TEMPLATES, accuracy

    loaded, squares, captions = load(space, images)
    labels = sorted({some[0] for some in captions})
    targets = [labels.index(some[0]) for some in captions]
    sentences = read_lines(templates) if templates else TEMPLATES
    print_metrics(
        images, space, "zeroshot_classification", accuracy(loaded, loaded.pixels(squares), targets, labels, sentences), json_
    )


@evaluate.command("suite")
def eval_suite(
    datasets: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Datasets; docs/training.md has their layouts.")],
    space: SpaceName = "starter",
    split: Annotated[str, typer.Option(help="Part of the dataset.")] = "test",
    output: Annotated[Path | None, typer.Option(help="Write the results there, too, one JSON object per line.")] = None,
) -> None:
    """CLIP_benchmark's metrics on datasets in folders, in its format: one JSON object per line."""
    from ..evaluate.suite import measure, open_dataset
    from ..spaces import registry

    loaded, lines = registry.load(space or "starter"), []
    model, _, pretrained = loaded.name.partition("/")
    for folder in datasets:
        try:
            dataset = open_dataset(expanded(folder), split)
            metrics = measure(loaded, dataset)
        except QueryError as error:
            print_status(f"skipped {error}")
            continue
        fields = {
            "dataset": dataset.name,
            "model": model,
            "pretrained": pretrained or model,
            "task": dataset.task,
            "metrics": {name: None if isnan(value) else value for name, value in metrics.items()},  # JSON has no NaN
        }
        lines.append(json.dumps(fields | {"language": "en"}))
        print_result(lines[-1])
    if output:
        write_text_atomically(output, "".join(f"{line}\n" for line in lines))
    if not lines:
        raise typer.Exit(1)


@evaluate.command("probe")
def eval_probe(images: Classes, space: SpaceName = "starter", json_: Json = False) -> None:
    """Accuracy of a linear classifier on the space's vectors, cross-validated."""
    from ..evaluate.probe import linear_probe

    loaded, squares, captions = load(space, images)
    metrics = linear_probe(loaded.pixels(squares), [some[0] for some in captions])
    print_metrics(images, space, "linear_probe", metrics, json_)


@evaluate.command("vqa")
def eval_vqa(
    questions: Annotated[Path, typer.Argument(metavar="FILE.json", help="A list of image, question, answer(s), kind.")],
    assistant: AssistantName = "starter",
    blind: Annotated[bool, typer.Option("--blind", help="Ask without the images, as a baseline.")] = False,
    samples: Annotated[Path | None, typer.Option(help="Write every answer to this file, one JSON object per line.")] = None,
    json_: Json = False,
) -> None:
    """Exact match of an assistant's answers, per kind of question, and POPE's metrics for yes/no questions."""
    from ..assistant.open import open_assistant
    from ..evaluate.vqa import answer_all, metrics_by_kind, read_questions

    read, opened = read_questions(questions), open_assistant(assistant)
    with counting_bar("asking") as count:
        answered = list(answer_all(opened, read, blind, (lambda done: count(done, len(read))) if count else None))
    if samples:
        samples.write_text("".join(json.dumps(asdict(sample), ensure_ascii=False) + "\n" for sample in answered), "utf-8")
    for kind, metrics in metrics_by_kind(answered).items():
        if json_:
            task = {"task": f"vqa_{kind}", "blind": blind, "metrics": metrics, "language": "en"}
            print_result(json.dumps({"dataset": questions.stem, "model": opened.name, "pretrained": assistant} | task))
        else:
            numbers = "  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in metrics.items())
            print_result(f"{kind:12} {numbers}")


@evaluate.command("draw")
def eval_draw(
    pairs: Pairs,
    reader: Annotated[
        str, typer.Option("--judge", help="The space that reads the drawings: another one than they are drawn in.")
    ],
    generator: Annotated[
        str, typer.Option("--with", envvar="SAMESPACE_GENERATOR", help="Name or folder of a generator.")
    ] = "starter",
    sheets: Annotated[Path | None, typer.Option(help="Write the drawings of each kind into this folder.")] = None,
    json_: Json = False,
) -> None:
    """Whether a judge reads drawings as what was asked for: captions of held-out pictures, colours, pictures, spoken words."""
    from ..evaluate.drawing import Evaluation, different
    from ..generate.files import sheet
    from ..generate.generator import load_generator

    opened, (loaded, squares, captions) = load_generator(generator), load(reader, pairs)
    if loaded.fingerprint == opened.config.space:
        raise UnknownSpace(f"{reader} is the space that {generator} draws in, and judges itself; name another one: --judge SPACE")
    rows = list(different(captions))
    if len(rows) < 2:
        raise QueryError(
            f"{pairs} has {len(rows)} pictures with different captions; give two or more, among which they are found"
        )
    with counting_bar("drawing") as report:
        evaluation = Evaluation(opened, loaded, squares[rows], [captions[row][0] for row in rows], report)
        metrics = evaluation.measure()
    for sample in evaluation.samples if sheets else ():
        assert sheets is not None
        sheets.mkdir(parents=True, exist_ok=True)
        sheet(sample.pictures, 1).save(sheets / f"{sample.name}.png")
    print_metrics(pairs, reader, "drawing", metrics, json_)


@evaluate.command("native")
def eval_native(
    pairs: Pairs,
    spoken: Annotated[Path | None, typer.Option(help='Documents of {"parts": [{"sound": …}, "word"]}.')] = None,
    reader: Annotated[str, typer.Option("--judge", help="The space that reads its drawings.")] = "starter",
    model: Annotated[str, typer.Option("--with", help="Name or folder of a native model.")] = "native",
    sheet: Annotated[Path | None, typer.Option(help="Write its drawings to this PNG.")] = None,
    json_: Json = False,
) -> None:
    """Whether a native model names pictures and spoken words, tells three pictures apart, and draws what a judge reads."""
    with needs_extra("a native model", "train"):
        from ..evaluate.native import CHOICES, NativeEvaluation
        from ..generate.native import load_native
        from ..train.documents import picture_pairs, spoken_words
    from ..evaluate.drawing import different
    from ..spaces import registry

    native, space = load_native(model), registry.load(reader)
    found = picture_pairs(pairs, native.config.size)
    rows = list(different([captions for _, captions in found]))[:CHOICES]
    if len(rows) < 3:
        raise QueryError(f"{pairs} has {len(rows)} pictures with different captions; give three or more, which are told apart")
    pictures, words = [found[i][0] for i in rows], [found[i][1][0] for i in rows]
    with counting_bar("asking") as report:
        evaluation = NativeEvaluation(native, report)
        metrics = evaluation.names("caption", pictures, words) | evaluation.second_of_three(pictures, words)
        if spoken:
            metrics |= evaluation.names("spoken", *spoken_words(str(spoken), native.words, CHOICES))
        metrics |= evaluation.drawings(words, space, sheet)
    print_metrics(pairs, model, "native", metrics, json_)


@evaluate.command("context")
def eval_context(
    text: Annotated[Path, typer.Argument(metavar="TEXT", help="A long text that the model has not learnt by heart.")],
    language_model: Annotated[
        str, typer.Option("--language-model", help="A name, a folder, or a GGUF file.")
    ] = "SmolLM2-135M-Instruct",
    lengths: Annotated[str, typer.Option(help="Tokens that are read, such as 1024,4096.")] = "1024,2048,4096",
    json_: Json = False,
) -> None:
    """How far a language model reads: perplexity and hidden facts at each length, for each way to read on after its training's."""
    with needs_extra("a language model", "ask"):
        from ..assistant.registry import read_language_model
        from ..evaluate.long_context import read_lengths

    try:
        wanted = [int(number) for number in lengths.split(",")]
        words = expanded(str(text)).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise QueryError(
            f"the text or the lengths cannot be read ({error}); give a text in UTF-8, and lengths as 1024,4096"
        ) from None
    if not json_:
        print_result(
            f"{'tokens':>7} {'positions':10} {'cache':7} {'perplexity':>10} {'needles':>8} {'seconds':>8} {'cache MB':>9}"
        )
    for r in read_lengths(read_language_model(language_model), words, wanted):
        if json_:
            print_result(json.dumps({"model": language_model} | asdict(r)))
        else:
            print_result(
                f"{r.tokens:7} {r.positions:10} {r.cache:7} {r.perplexity:10.2f} {r.needles:8.2f} {r.seconds:8.1f} {r.cache_mb:9.1f}"
            )


@evaluate.command("calibration")
def eval_calibration(pairs: Pairs, space: SpaceName = "starter", json_: Json = False) -> None:
    """Whether a hit's relevance tells right from wrong. Half of the images are removed, so that some queries have no hit."""
    from ..evaluate.retrieval import queries_of
    from ..spaces.calibration import measure

    loaded, squares, captions = load(space, pairs)
    calibration = loaded.calibration()
    if calibration is None:
        raise UnknownSpace(f"{space} has no calibration; make one with: samespace spaces export {space} FOLDER")
    queries, relevant = queries_of(captions)
    metrics = measure(calibration, loaded.pixels(squares), loaded.text(queries), relevant)
    print_metrics(pairs, space, "calibration", metrics, json_)


def load(space: str, pairs: str) -> "tuple[Space, np.ndarray, list[tuple[str, ...]]]":
    """Open a space and read pairs for it: images as uint8 (B, S, S, 3), and their captions.

    Files that cannot be read are named and skipped.
    """
    with needs_extra("evaluation", "train"):
        from ..train.config import Source
        from ..train.data import SkippedSamples, read_pairs
    from ..spaces import registry

    loaded, skipped = registry.load(space), SkippedSamples()
    squares, captions = read_pairs((Source(pairs),), loaded.config.prep, skipped)
    for name, reason in skipped.reasons.items():
        print_status(f"skipped {name}: {reason}")
    return loaded, squares, captions


def print_metrics(dataset: str, space: str, task: str, metrics: dict[str, float], as_json: bool) -> None:
    """Print metrics, or one JSON object in CLIP_benchmark's format."""
    if as_json:
        fields = {"dataset": dataset, "model": space, "pretrained": space, "task": task, "metrics": metrics, "language": "en"}
        print_result(json.dumps(fields))
        return
    for name, value in metrics.items():
        print_result(f"{name:32} {value:.4f}")
