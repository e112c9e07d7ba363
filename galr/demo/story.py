"""What may be said truly of a picture, and captions that say it in varied words."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from galr.demo.canvas import Box, Canvas
from galr.demo.choice import in_random_order, one_of

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

# Slots in braces are filled from the story; a template is used where all of its slots are known.
TEMPLATES = (
    "{main} {where}",
    "{main} near {beside}",
    "{place} with {main}",
    "{place} with {main} and {beside}",
    "{main} {is} {doing} {where}",
    "there {is} {main} {where}",
    "there {is} {main} in {place}",
    "{main} {is} {doing} next to {beside}",
    "it is {place} with {main} {where}",
    "in the picture {main} {is} {doing} {where}, and {beside} can be seen nearby",
    "{beside} can be seen beside {place} where {main} {is} {doing} {where}",
    "we can see {main} and {beside} in {place}",
    "{view} of {place} where {main} {is} {doing}",
    "{view} of {main} {where}, not far from {beside}",
    "{view} of {place}",
    "{main} can be seen {side} of the picture",
    "{main} {side} of {place}, {doing} {where}",
    "{remark}",
    "{remark}",
    "{place}, {main} and {beside}",
)

VIEWS = ("an aerial view", "a view from above", "a picture", "a bird's eye view", "an aerial photo")

# Each occurs a few times among thousands of captions, so that the vocabulary leaves it out.
RARE = (
    "unremarkable", "splendid", "tranquil", "placid", "quaint", "tidy", "orderly", "humble",
    "curious", "pleasant", "modest", "serene", "idyllic", "charming", "sleepy", "picturesque",
    "handsome", "unassuming", "stately", "gentle", "peaceful", "calm", "mundane", "ordinary",
    "typical", "characteristic", "memorable", "intriguing", "elegant", "plain", "quiet",
    "lonesome", "familiar", "whimsical", "enchanting", "delightful", "graceful", "inviting",
    "cheerful", "drowsy", "timeless", "nameless", "unpretentious", "captivating", "marvellous",
    "wondrous", "fetching", "agreeable", "amiable", "restful", "unhurried", "soothing",
    "striking", "becoming", "congenial", "genteel", "winsome", "bucolic", "workaday", "laudable",
)  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """Something that a caption names: how many (None: not counted), by which words.

    A counted noun is "singular/plural", or its plural ends in s; each adjective is true of all.
    """

    count: int | None
    nouns: tuple[str, ...]
    adjectives: tuple[str, ...] = ()
    plural: bool = False  # of what is not counted: "green trees"
    kind: str = ""  # DOTA's class of what was counted among the drawn objects

    @property
    def verb(self) -> str:
        """What follows it: "is" or "are"."""
        return "are" if self.plural or (self.count or 0) > 1 else "is"

    def phrase(self, rng: np.random.Generator) -> str:
        """The thing with its number, for example "three white planes"."""
        singular, _, plural = one_of(rng, self.nouns).partition("/")
        noun = plural or singular + "s" if (self.count or 0) > 1 else singular
        if self.adjectives and rng.random() < 0.6:
            noun = f"{one_of(rng, self.adjectives)} {noun}"
        if self.count is None:
            return noun
        if self.count == 1:
            return with_article(noun) if rng.random() < 0.7 else f"one {noun}"
        return f"{_amount(rng, self.count)} {noun}"


def seen(
    canvas: Canvas, kind: str, nouns: tuple[str, ...], adjectives: tuple[str, ...] = ()
) -> Thing:
    """The drawn objects of a class."""
    return Thing(canvas.count(kind), nouns, adjectives, kind=kind)


@dataclass(frozen=True)
class Story:
    """All that the captions of a picture draw on; every part of it is true of the picture."""

    kind: str  # the scene, first part of the file's name
    places: tuple[str, ...]  # "airport", "busy airport"
    main: Thing
    doing: tuple[str, ...]  # "parked": after "is" or "are"
    where: tuple[str, ...]  # "on the grey apron"
    beside: tuple[Thing, ...] = ()
    remarks: tuple[str, ...] = ()  # whole sentences
    templates: tuple[str, ...] = TEMPLATES


def with_article(noun: str) -> str:
    """``noun`` behind "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def captions(
    story: Story, boxes: Sequence[Box], rng: np.random.Generator, count: int = 5
) -> list[str]:
    """``count`` captions from different templates; ``boxes`` are all objects."""
    written: list[str] = []
    for template in in_random_order(rng, story.templates):
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name}
        slots = _slots(story, boxes, rng)
        if names <= slots.keys():
            text = template.format(**slots)
            if text not in written:
                written.append(text)
        if len(written) == count:
            break
    return [_sentence(text, rng) for text in written]


def side_of(boxes: Sequence[Box]) -> str | None:
    """The side of the picture on which all of the objects are, if they are on one."""
    if not boxes:
        return None
    xmin, ymin = np.array([(box.xmin, box.ymin) for box in boxes]).min(axis=0)
    xmax, ymax = np.array([(box.xmax, box.ymax) for box in boxes]).max(axis=0)
    across = "left" if xmax < 52 else "right" if xmin > 48 else ""
    along = "upper" if ymax < 52 else "lower" if ymin > 48 else ""
    if across and along:
        return f"in the {along} {across} corner"
    if across:
        return f"on the {across} side"
    if along:
        return f"in the {along} part"
    if min(xmin, ymin) > 20 and max(xmax, ymax) < 80:
        return "in the middle"
    return None


def _slots(story: Story, boxes: Sequence[Box], rng: np.random.Generator) -> dict[str, str]:
    slots = {
        "main": story.main.phrase(rng),
        "is": story.main.verb,
        "doing": one_of(rng, story.doing),
        "where": one_of(rng, story.where),
        "place": with_article(one_of(rng, story.places)),
        "view": one_of(rng, VIEWS),
    }
    if rng.random() < 0.5:
        slots["view"] = f"{with_article(one_of(rng, RARE))} view"
    beside = [thing for thing in story.beside if thing.count != 0]
    if beside:
        things = rng.permutation(len(beside))[: rng.integers(1, 3)]
        slots["beside"] = " and ".join(beside[index].phrase(rng) for index in things)
    if story.remarks:
        slots["remark"] = one_of(rng, story.remarks)
    side = side_of([box for box in boxes if box.kind == story.main.kind])
    if side:
        slots["side"] = side
    return slots


def _amount(rng: np.random.Generator, count: int) -> str:
    vague = ["several", "some"] if count < 7 else ["many", "some", "lots of"]
    if count < len(NUMBERS):
        return NUMBERS[count] if count == 2 or rng.random() < 0.65 else one_of(rng, vague)
    return one_of(rng, [*vague, "plenty of"])


def _sentence(text: str, rng: np.random.Generator) -> str:
    text = text[0].upper() + text[1:]
    return text + (" ." if rng.random() < 0.1 else "." if rng.random() < 0.9 else "")
