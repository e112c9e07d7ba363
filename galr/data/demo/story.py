"""What may be said truly of a picture, and captions that say it in varied words."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from galr.data.demo.canvas import Box

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
    "unremarkable",
    "splendid",
    "tranquil",
    "placid",
    "quaint",
    "tidy",
    "orderly",
    "humble",
    "curious",
    "pleasant",
    "modest",
    "serene",
    "idyllic",
    "charming",
    "sleepy",
    "picturesque",
    "handsome",
    "unassuming",
    "stately",
    "gentle",
    "peaceful",
    "calm",
    "mundane",
    "ordinary",
    "typical",
    "characteristic",
    "memorable",
    "intriguing",
    "elegant",
    "plain",
    "quiet",
    "lonesome",
    "familiar",
    "whimsical",
    "enchanting",
    "delightful",
    "graceful",
    "inviting",
    "cheerful",
    "drowsy",
    "timeless",
    "nameless",
    "unpretentious",
    "captivating",
    "marvellous",
    "wondrous",
    "fetching",
    "agreeable",
    "amiable",
    "restful",
    "unhurried",
    "soothing",
    "striking",
    "becoming",
    "congenial",
    "genteel",
    "winsome",
    "bucolic",
    "workaday",
    "laudable",
)


@dataclass(frozen=True)
class Thing:
    """Something that a caption names: how many (0: not counted), by which words.

    A counted noun is "singular/plural", or its plural ends in s; each adjective is true of all.
    """

    count: int
    nouns: tuple[str, ...]
    adjectives: tuple[str, ...] = ()
    plural: bool = False  # of what is not counted: "green trees"

    @property
    def verb(self) -> str:
        """What follows it: "is" or "are"."""
        return "are" if self.count > 1 or self.plural else "is"

    def phrase(self, rng: np.random.Generator) -> str:
        """The thing with its number, for example "three white planes"."""
        singular, _, plural = str(rng.choice(self.nouns)).partition("/")
        noun = singular if self.count <= 1 else plural or singular + "s"
        if self.adjectives and rng.random() < 0.6:
            noun = f"{rng.choice(self.adjectives)} {noun}"
        if self.count == 0:
            return noun
        if self.count == 1:
            return with_article(noun) if rng.random() < 0.7 else f"one {noun}"
        return f"{_amount(rng, self.count)} {noun}"


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


def with_article(noun: str) -> str:
    """``noun`` behind "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def captions(
    story: Story, boxes: Sequence[Box], rng: np.random.Generator, count: int = 5
) -> list[str]:
    """``count`` captions from different templates; ``boxes`` are the main objects."""
    written: list[str] = []
    for template in rng.permutation(TEMPLATES):
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
    x, y = np.array([box.centre for box in boxes]).T
    across = "left" if x.max() < 45 else "right" if x.min() > 55 else ""
    along = "upper" if y.max() < 45 else "lower" if y.min() > 55 else ""
    if across and along:
        return f"in the {along} {across} corner"
    if across:
        return f"on the {across} side"
    if along:
        return f"in the {along} part"
    if np.abs(x - 50).max() < 15 and np.abs(y - 50).max() < 15:
        return "in the middle"
    return None


def _slots(story: Story, boxes: Sequence[Box], rng: np.random.Generator) -> dict[str, str]:
    slots = {
        "main": story.main.phrase(rng),
        "is": story.main.verb,
        "doing": str(rng.choice(story.doing)),
        "where": str(rng.choice(story.where)),
        "place": with_article(str(rng.choice(story.places))),
        "view": str(rng.choice(VIEWS)),
    }
    if rng.random() < 0.5:
        slots["view"] = f"{with_article(str(rng.choice(RARE)))} view"
    if story.beside:
        things = rng.permutation(len(story.beside))[: rng.integers(1, 3)]
        slots["beside"] = " and ".join(story.beside[i].phrase(rng) for i in things)
    if story.remarks:
        slots["remark"] = str(rng.choice(story.remarks))
    side = side_of(boxes)
    if side:
        slots["side"] = side
    return slots


def _amount(rng: np.random.Generator, count: int) -> str:
    vague = ["several", "some"] if count < 7 else ["many", "some", "lots of"]
    if count < len(NUMBERS):
        return NUMBERS[count] if count == 2 or rng.random() < 0.65 else str(rng.choice(vague))
    return str(rng.choice([*vague, "plenty of"]))


def _sentence(text: str, rng: np.random.Generator) -> str:
    text = text[0].upper() + text[1:]
    return text + (" ." if rng.random() < 0.1 else "." if rng.random() < 0.9 else "")
