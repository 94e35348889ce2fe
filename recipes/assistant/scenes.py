"""Synthetic scenes with questions and answers: things, shapes, words, charts, tables, screens.

Each scene function takes a random generator and what there is to draw, and returns a picture of SIDE × SIDE, its questions, and its
regions with their names.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 224
COLOURS = {
    "red": (215, 35, 35), "orange": (245, 140, 20), "yellow": (245, 220, 40), "green": (40, 150, 60), "blue": (40, 90, 215),
    "purple": (130, 50, 165), "pink": (245, 140, 185), "brown": (125, 75, 40), "black": (25, 25, 25), "grey": (140, 140, 140),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "star", "diamond", "ring", "cross", "heart")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
BACKGROUNDS = ((255, 255, 255), (245, 245, 235), (230, 240, 250), (235, 250, 235), (250, 235, 235), (200, 215, 200), (60, 65, 75))
LABELS = ("Save", "Open", "Cancel", "OK", "Delete", "Print", "Send", "Help", "Close", "Edit", "Copy", "Next", "Back", "Search")


@dataclass(frozen=True)
class Question:
    """One question about a picture."""

    kind: str
    text: str
    answer: str
    also_right: tuple[str, ...] = ()
    """Other right answers."""


@dataclass(frozen=True)
class Thing:
    """A cut-out picture of something, with its names."""

    file: Path
    names: tuple[str, ...]
    keywords: tuple[str, ...]
    topic: str


@dataclass(frozen=True)
class Region:
    """A part of a picture and the words that name it."""

    box: tuple[float, float, float, float]
    """left, top, right, bottom, in pixels."""
    text: str


@dataclass
class Props:
    """What scenes are drawn from."""

    things: list[Thing]
    """For scenes of one thing."""
    plain: list[Thing]
    """Things with short, different names, for scenes of several."""
    words: list[str]
    fonts: list[Path]


Scene = tuple[Image.Image, list[Question], list[Region]]


def pick(rng: np.random.Generator, items, count: int | None = None):
    """Return one random item, or `count` different ones."""
    if count is None:
        return items[int(rng.integers(len(items)))]
    return [items[int(i)] for i in rng.choice(len(items), count, replace=False)]


def a(noun: str) -> str:
    """Return a noun with its article, where it takes one."""
    if (noun.endswith("s") and not noun.endswith(("ss", "us"))) or noun.startswith(("the ", "flag", "no ")):
        return noun
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def sentence(text: str) -> str:
    """Return a text as a sentence: capitalised, with a full stop."""
    return text[0].upper() + text[1:] + "."


def yes_no(text: str, true: bool) -> Question:
    """Return a question that is answered by yes or no."""
    return Question("yes/no", text, "Yes." if true else "No.")


def random_background(rng: np.random.Generator) -> Image.Image:
    """Return an empty picture of a random colour."""
    return Image.new("RGB", (SIDE, SIDE), tuple(pick(rng, BACKGROUNDS)))


def load_thing(thing: Thing, side: int) -> Image.Image:
    """Return a thing's RGBA picture, its longer side resized to `side`."""
    with Image.open(thing.file) as image:
        image = image.convert("RGBA")
    scale = side / max(image.size)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BICUBIC)


def paste(canvas: Image.Image, picture: Image.Image, x: float, y: float, text: str) -> Region:
    """Paste a picture with its centre at (x, y), and return its region."""
    left, top = round(x - picture.width / 2), round(y - picture.height / 2)
    canvas.paste(picture, (left, top), picture)
    return Region((left, top, left + picture.width, top + picture.height), text)


def draw_single(rng: np.random.Generator, thing: Thing) -> tuple[Image.Image, Region]:
    """Draw one thing on a background, nearly as large as the picture."""
    canvas = Image.new("RGB", (SIDE, SIDE), (255, 255, 255)) if rng.random() < 0.6 else random_background(rng)
    side = int(SIDE * rng.uniform(0.6, 0.98))
    spare = (SIDE - side) / 2
    picture = load_thing(thing, side)
    if rng.random() < 0.3 and thing.topic != "symbols":
        picture = picture.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC)
    x, y = (SIDE / 2 + rng.uniform(-spare, spare) for _ in range(2))
    return canvas, paste(canvas, picture, x, y, thing.names[0])


def single(rng: np.random.Generator, props: Props) -> Scene:
    """Draw one thing and ask what it is, of which category, and whether it is something else."""
    thing = pick(rng, props.things)
    canvas, region = draw_single(rng, thing)
    return canvas, questions_about(rng, thing, props), [region]


def questions_about(rng: np.random.Generator, thing: Thing, props: Props) -> list[Question]:
    """Return questions about one thing."""
    name, other_names = thing.names[0], thing.names[1:]
    what = pick(rng, ("What is in this image?", "What is this?", "What does the picture show?", "Describe the image."))
    questions = [Question("what", what, sentence(a(name)), other_names)]
    if thing.topic:
        text = pick(rng, ("Which category does it belong to?", "What kind of thing is it?"))
        questions.append(Question("category", text, sentence(thing.topic)))
    other = pick(rng, props.things)
    same_topic = [t for t in pick(rng, props.things, 40) if t.topic == thing.topic]
    other = same_topic[0] if same_topic and rng.random() < 0.5 else other
    for true, named in ((True, pick(rng, thing.names)), (False, other.names[0])):
        if true or not set(other.names) & set(thing.names) | set(thing.keywords) & set(other.names):
            text = pick(rng, ("Is this {}?", "Does the image show {}?", "Is there {} in the image?")).format(a(named))
            questions.append(yes_no(text, true))
    return [questions[int(i)] for i in rng.permutation(len(questions))]


def random_positions(rng: np.random.Generator, count: int) -> list[tuple[float, float]]:
    """Return points near the centres of different cells of a 3 × 3 grid."""
    cell = SIDE / 3
    cells = [divmod(int(i), 3) for i in rng.choice(9, count, replace=False)]
    return [((c + 0.5) * cell + rng.uniform(-6, 6), (r + 0.5) * cell + rng.uniform(-6, 6)) for r, c in cells]


def draw_shape(canvas: Image.Image, shape: str, paint: str, x: float, y: float, r: float) -> Region:
    """Draw a shape of radius r around (x, y), at four times the size and shrunk for smooth edges; return its region."""
    big = Image.new("RGBA", (round(8 * r), round(8 * r)), (0, 0, 0, 0))
    pen, m, q, colour = ImageDraw.Draw(big), 4 * r, 3.8 * r, COLOURS[paint]
    vertices = lambda n, radius: [  # noqa: E731
        (m + radius(i) * math.sin(2 * math.pi * i / n), m - radius(i) * math.cos(2 * math.pi * i / n)) for i in range(n)
    ]
    if shape == "circle":
        pen.ellipse((m - q, m - q, m + q, m + q), fill=colour)
    elif shape == "ring":
        pen.ellipse((m - q, m - q, m + q, m + q), outline=colour, width=round(1.3 * r))
    elif shape == "square":
        pen.rectangle((m - 0.85 * q, m - 0.85 * q, m + 0.85 * q, m + 0.85 * q), fill=colour)
    elif shape == "cross":
        pen.rectangle((m - q, m - q / 3, m + q, m + q / 3), fill=colour)
        pen.rectangle((m - q / 3, m - q, m + q / 3, m + q), fill=colour)
    elif shape == "heart":
        t = np.linspace(0, 2 * np.pi, 80)
        xs, ys = 16 * np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
        pen.polygon([(m + u * q / 17, m + v * q / 17) for u, v in zip(xs, ys)], fill=colour)
    else:
        points = {
            "triangle": (3, lambda i: q),
            "diamond": (4, lambda i: q),
            "star": (10, lambda i: q if i % 2 == 0 else 0.42 * q),
        }
        n, radius = points[shape]
        pen.polygon(vertices(n, radius), fill=colour)
    small = big.resize((round(2 * r), round(2 * r)), Image.Resampling.LANCZOS)
    return paste(canvas, small, x, y, f"{paint} {shape}")


def shapes(rng: np.random.Generator, props: Props) -> Scene:
    """Draw coloured shapes and ask how many, which colour, and whether there is one."""
    canvas, count = random_background(rng), int(rng.integers(1, 7))
    dark = sum(canvas.getpixel((0, 0))) < 300
    colours = [c for c in COLOURS if not (dark and c in ("black", "grey", "brown"))]
    one_kind = rng.random() < 0.6
    kinds, paints = pick(rng, SHAPES, 3), pick(rng, colours, 3)
    drawn, regions = [], []
    for x, y in random_positions(rng, count):
        shape, colour = (kinds[0] if one_kind else pick(rng, kinds)), pick(rng, paints)
        regions.append(draw_shape(canvas, shape, colour, x, y, rng.uniform(18, 32)))
        drawn.append((shape, colour))
    return canvas, questions_about_shapes(rng, drawn), regions


def questions_about_shapes(rng: np.random.Generator, drawn: list[tuple[str, str]]) -> list[Question]:
    """Return questions about coloured shapes, (shape, colour) each."""
    kinds = sorted({shape for shape, _ in drawn})
    questions = [count_question(rng, "shape" if len(kinds) > 1 else kinds[0], len(drawn))]
    shape, colour = pick(rng, drawn)
    if len(kinds) > 1:
        questions.append(count_question(rng, shape, sum(s == shape for s, _ in drawn)))
    for shape, colour in pick(rng, drawn, len(drawn)):
        if sum(s == shape for s, _ in drawn) == 1:
            text = pick(rng, ("What colour is the {}?", "Which colour does the {} have?", "What is the colour of the {}?"))
            questions.append(Question("colour", text.format(shape), sentence(colour)))
        if sum(c == colour for _, c in drawn) == 1:
            questions.append(Question("which", f"Which shape is {colour}?", sentence(f"the {shape}")))
    if len({c for _, c in drawn}) == 1 and len(drawn) > 1:
        questions.append(Question("colour", f"What colour are the {plural(shape)}?", sentence(colour)))
    if len(drawn) == 1:
        questions.append(Question("shape", "Which shape is it?", sentence(f"a {colour} {shape}")))
    there = rng.random() < 0.5
    absent = [(s, c) for s in SHAPES for c in COLOURS if (s, c) not in drawn]
    s, c = pick(rng, drawn if there else absent)
    questions.append(yes_no(f"Is there {a(c)} {s} in the image?", there))
    return questions


def count_question(rng: np.random.Generator, noun: str, count: int) -> Question:
    """Return a question of how many there are."""
    text = pick(rng, ("How many {} are there?", "How many {} are in the image?", "Count the {}."))
    return Question("count", text.format(plural(noun)), sentence(NUMBERS[count]), (str(count),))


def plural(noun: str) -> str:
    """Return a noun's plural."""
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def several(rng: np.random.Generator, props: Props) -> Scene:
    """Draw the same thing several times and ask how many."""
    canvas, count, thing = random_background(rng), int(rng.integers(1, 7)), pick(rng, props.plain)
    side, name = int(rng.uniform(46, 66)), thing.names[0]
    regions = [paste(canvas, load_thing(thing, side), x, y, name) for x, y in random_positions(rng, count)]
    there = rng.random() < 0.5
    other = thing if there else pick(rng, props.plain)
    questions = [count_question(rng, name, count)]
    if there or other.names[0] not in thing.names:
        questions.append(yes_no(f"Is there {a(other.names[0])} in the image?", there))
    return canvas, questions, regions


def two(rng: np.random.Generator, props: Props) -> Scene:
    """Draw two different things and ask where one is relative to the other."""
    canvas, (one, other) = random_background(rng), pick(rng, props.plain, 2)
    along = int(rng.integers(2))  # 0: side by side, 1: one above the other
    first, across = rng.uniform(45, 75), rng.uniform(60, 164)
    second = first + rng.uniform(75, 105)
    if rng.random() < 0.5:
        first, second = second, first
    regions = []
    for thing, offset in ((one, first), (other, second)):
        side, drift = int(rng.uniform(60, 85)), across + rng.uniform(-12, 12)
        x, y = (offset, drift) if along == 0 else (drift, offset)
        regions.append(paste(canvas, load_thing(thing, side), x, y, thing.names[0]))
    word = (("left", "right"), ("above", "below"))[along][int(first > second)]
    x, y = one.names[0], other.names[0]
    text = (f"Is the {x} left or right of the {y}?", f"Is the {x} above or below the {y}?")[along]
    # Only once: the reverse question could be answered without the picture.
    questions = [Question("position", text, sentence(word))]
    side = {"left": "on the left", "right": "on the right", "above": "at the top", "below": "at the bottom"}[word]
    questions.append(Question("where", f"Where is the {x}?", sentence(side)))
    if rng.random() < 0.5:
        questions.append(Question("what both", "What are the two things in the image?", sentence(f"{a(x)} and {a(y)}")))
    absent, there = pick(rng, props.plain), rng.random() < 0.5
    if there or absent.names[0] not in (x, y):
        questions.append(yes_no(f"Is there {a(x if there else absent.names[0])} in the image?", there))
    return canvas, [questions[int(i)] for i in rng.permutation(len(questions))], regions


def random_font(rng: np.random.Generator, props: Props, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(pick(rng, props.fonts)), size)


def word(rng: np.random.Generator, props: Props) -> Scene:
    """Draw one word, in a random font, size and colour, and ask what it says."""
    canvas, text = random_background(rng), pick(rng, props.words)
    written = pick(rng, (text, text, text.upper(), text.capitalize()))
    dark = sum(canvas.getpixel((0, 0))) < 300
    paint = (
        (250, 250, 250) if dark else COLOURS[pick(rng, ("black", "black", "black", "red", "blue", "green", "purple", "brown"))]
    )
    face = random_font(rng, props, 60)
    width = face.getlength(written)
    face = face.font_variant(size=max(14, int(60 * rng.uniform(0.7, 0.95) * min(SIDE / width, 1.2))))
    left, top, right, bottom = face.getbbox(written)
    x, y = (rng.uniform(4, max(5, SIDE - n - 4)) for n in (right - left, bottom - top))
    ImageDraw.Draw(canvas).text((x - left, y - top), written, font=face, fill=paint)
    what = pick(rng, ("What does it say?", "Read the word.", "Which word is written here?", "What is written in the image?"))
    questions = [Question("word", what, text + ".")]
    there = rng.random() < 0.5
    questions.append(yes_no(f'Does it say "{text if there else pick(rng, props.words)}"?', there))
    ends = [x - left + face.getlength(written[:i]) for i in range(len(written) + 1)]
    return canvas, questions, [Region((a, y, b, y + bottom - top), c) for a, b, c in zip(ends, ends[1:], text)]


def random_values(rng: np.random.Generator, props: Props) -> tuple[list[str], list[int], list[str]]:
    """Return names, different values and colours for three to five bars or slices."""
    count = int(rng.integers(3, 6))
    names = [w.capitalize() for w in pick(rng, [w for w in props.words if len(w) <= 5], count)]
    return names, [int(v) for v in rng.choice(np.arange(1, 21), count, replace=False)], pick(rng, list(COLOURS), count)


def bars(rng: np.random.Generator, props: Props) -> Scene:
    """Draw a bar chart with its values above the bars."""
    canvas, (names, values, paints) = Image.new("RGB", (SIDE, SIDE), "white"), random_values(rng, props)
    pen, face, step, regions = ImageDraw.Draw(canvas), random_font(rng, props, 15), SIDE / len(names), []
    for i, (name, value, paint) in enumerate(zip(names, values, paints)):
        middle, top = (i + 0.5) * step, 195 - 160 * value / max(values)
        box = (middle - 0.3 * step, top, middle + 0.3 * step, 195)
        pen.rectangle(box, fill=COLOURS[paint])
        regions.append(Region(box, f"{paint} {value}"))
        pen.text((middle, top - 2), str(value), font=face, fill="black", anchor="mb")
        pen.text((middle, 199), name, font=face, fill="black", anchor="mt")
    pen.line((0, 195, SIDE, 195), fill="black")
    i, best = int(rng.integers(len(names))), int(np.argmax(values))
    return (
        canvas,
        [
            Question("chart", f"What is the value of {names[i]}?", f"{values[i]}."),
            Question("chart", "Which bar is the highest?", names[best] + "."),
            Question("chart", "How many bars are there?", sentence(NUMBERS[len(names)]), (str(len(names)),)),
            Question("chart", f"Which colour is the bar of {names[i]}?", sentence(paints[i])),
        ],
        regions,
    )


def pie(rng: np.random.Generator, props: Props) -> Scene:
    """Draw a pie chart with a legend."""
    canvas, (names, values, paints) = Image.new("RGB", (SIDE, SIDE), "white"), random_values(rng, props)
    pen, face, angle, regions = ImageDraw.Draw(canvas), random_font(rng, props, 15), 0.0, []
    for i, (name, value, paint) in enumerate(zip(names, values, paints)):
        sweep = 360 * value / sum(values)
        pen.pieslice((5, 40, 145, 180), angle, angle + sweep, fill=COLOURS[paint])
        pen.rectangle((155, 40 + 26 * i, 167, 52 + 26 * i), fill=COLOURS[paint])
        pen.text((171, 39 + 26 * i), name, font=face, fill="black")
        regions.append(Region((150, 37 + 26 * i, SIDE, 57 + 26 * i), f"{paint} {name}"))
        angle += sweep
    i, best = int(rng.integers(len(names))), int(np.argmax(values))
    return (
        canvas,
        [
            Question("chart", "Which slice is the largest?", names[best] + "."),
            Question("chart", f"Which colour stands for {names[i]}?", sentence(paints[i])),
            Question("chart", "What colour is the largest slice?", sentence(paints[best])),
        ],
        regions,
    )


def table(rng: np.random.Generator, props: Props) -> Scene:
    """Draw a small table of names and numbers."""
    canvas, (names, values, _) = Image.new("RGB", (SIDE, SIDE), "white"), random_values(rng, props)
    pen, face, regions = ImageDraw.Draw(canvas), random_font(rng, props, 20), []
    for i, row in enumerate([("Name", "Number"), *((n, str(v)) for n, v in zip(names, values))]):
        for j, text in enumerate(row):
            box = (10 + 102 * j, 10 + 34 * i, 112 + 102 * j, 44 + 34 * i)
            pen.rectangle(box, outline="black", fill=(225, 230, 240) if i == 0 else "white")
            pen.text((box[0] + 8, box[1] + 17), text, font=face, fill="black", anchor="lm")
            regions.append(Region(box, text))
    i = int(rng.integers(len(names)))
    return (
        canvas,
        [
            Question("table", f"Which number belongs to {names[i]}?", f"{values[i]}."),
            Question("table", "How many rows are below the heading?", sentence(NUMBERS[len(names)]), (str(len(names)),)),
            Question("table", f"Which name has the number {values[i]}?", names[i] + "."),
        ],
        regions,
    )


def screen(rng: np.random.Generator, props: Props) -> Scene:
    """Draw a window of an application, with buttons."""
    canvas, count = Image.new("RGB", (SIDE, SIDE), (205, 210, 220)), int(rng.integers(2, 5))
    pen, face = ImageDraw.Draw(canvas), random_font(rng, props, 18)
    pen.rectangle((0, 0, SIDE, 22), fill=(70, 80, 110))
    corners = {"top left": (12, 40), "top right": (122, 40), "bottom left": (12, 165), "bottom right": (122, 165)}
    where, labels, paints = pick(rng, list(corners), count), pick(rng, LABELS, count), pick(rng, list(COLOURS), count)
    regions = []
    for corner, label, paint in zip(where, labels, paints):
        x, y = corners[corner]
        regions.append(Region((x, y, x + 90, y + 38), f"{paint} {label}"))
        pen.rounded_rectangle((x, y, x + 90, y + 38), 8, fill=COLOURS[paint])
        light = paint in ("yellow", "pink", "orange")
        pen.text((x + 45, y + 19), label, font=face, fill="black" if light else "white", anchor="mm")
    i, there = int(rng.integers(count)), rng.random() < 0.5
    label = labels[i] if there else pick(rng, [absent for absent in LABELS if absent not in labels])
    return (
        canvas,
        [
            Question("screen", f"Where is the {labels[i]} button?", sentence(where[i])),
            Question("screen", f"What does the {paints[i]} button say?", labels[i] + "."),
            Question("screen", f"What colour is the {labels[i]} button?", sentence(paints[i])),
            Question("screen", "How many buttons are there?", sentence(NUMBERS[count]), (str(count),)),
            yes_no(f"Is there a {label} button?", there),
        ],
        regions,
    )


SCENES: dict[str, tuple[Callable[[np.random.Generator, Props], Scene], float]] = {  # with probabilities
    "single": (single, 0.16), "shapes": (shapes, 0.32), "several": (several, 0.08), "two": (two, 0.32), "word": (word, 0.03),
    "bars": (bars, 0.02), "pie": (pie, 0.02), "table": (table, 0.02), "screen": (screen, 0.03),
}  # fmt: skip


def random_scene(rng: np.random.Generator, props: Props) -> Scene:
    """Draw a scene of a random kind."""
    names = list(SCENES)
    chosen = names[int(rng.choice(len(names), p=[SCENES[name][1] for name in names]))]
    return SCENES[chosen][0](rng, props)
