"""A caption -> its tokens, as the released code's NLTK calls make them, without a download."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

# what the released code removes; quotes, dashes and the like stay tokens
PUNCTUATION = frozenset(",.:;?()[]&!*@#$%")

# NLTK splits these, though they have neither a full stop nor an apostrophe
_SPLIT_BY_NLTK = r"(?:cannot|gimme|gonna|gotta|lemme|wanna)"
_PLAIN = re.compile(rf"(?!.*\b{_SPLIT_BY_NLTK}\b)[a-z0-9 ]*(?:[a-z0-9 ]\.)?[ ]*")

# the English words of NLTK's stopwords corpus
STOP_WORDS = frozenset(
    """
    i me my myself we our ours ourselves you you're you've you'll you'd your yours yourself
    yourselves he him his himself she she's her hers herself it it's its itself they them their
    theirs themselves what which who whom this that that'll these those am is are was were be
    been being have has had having do does did doing a an the and but if or because as until
    while of at by for with about against between into through during before after above below
    to from up down in out on off over under again further then once here there when where why
    how all any both each few more most other some such no nor not only own same so than too
    very s t can will just don don't should should've now d ll m o re ve y ain aren aren't
    couldn couldn't didn didn't doesn doesn't hadn hadn't hasn hasn't haven haven't isn isn't ma
    mightn mightn't mustn mustn't needn needn't shan shan't shouldn shouldn't wasn wasn't weren
    weren't won won't wouldn wouldn't
    """.split()  # noqa: SIM905 - one word per line would be 180 lines
)


_CHARACTERS = re.compile(r"[a-z0-9]+|[^\W_]")


def tokenize(caption: str, tokenizer: str = "nltk") -> list[str]:
    """Lower case, split into words, punctuation removed; may be empty.

    ``tokenizer``: `nltk`, its word tokeniser for English; `whitespace`, what white space separates;
    `characters`, each letter, with Latin words and numbers whole.
    """
    caption = caption.lower()
    if tokenizer == "whitespace":
        words = (_strip_punctuation(word) for word in caption.split())
        return [word for word in words if word]
    if tokenizer == "characters":
        return _CHARACTERS.findall(caption)
    if _PLAIN.fullmatch(caption):
        # holds for nine captions in ten, and is a hundred times faster than NLTK
        return caption.rstrip(" .").split()
    sentences, words = _tokenizers()
    return [
        token
        for sentence in sentences.tokenize(caption)
        for token in words.tokenize(sentence)
        if token not in PUNCTUATION
    ]


def _strip_punctuation(word: str) -> str:
    ends = "".join(letter for letter in {*word} if unicodedata.category(letter)[0] in "PS")
    return word.strip(ends)


@cache
def _tokenizers() -> tuple[Any, Any]:
    """What nltk.word_tokenize applies; an untrained Punkt splits captions as the trained one."""
    from nltk.tokenize.destructive import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktSentenceTokenizer

    return PunktSentenceTokenizer(), NLTKWordTokenizer()
