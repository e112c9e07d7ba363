"""``galr vocab``, also vocab.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from galr.common import cli

DESCRIPTION = """\
Builds the vocabulary of a data set from its captions.

The defaults reproduce the vocabulary of the released code exactly: words that occur at least five
times in the training and test captions, without English stop words. For a protocol that must not
use test data, add --training-only.

  python vocab.py --path_opt options/RSITMD_GaLR.yaml
  python vocab.py --data_path data --data_name rsitmd_precomp --out vocab/rsitmd_splits_vocab.json
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and writes the vocabulary."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="vocab.py")
    cli.add_options_arguments(parser)
    parser.add_argument(
        "--data_path",
        metavar="DIR",
        help="folder of the data sets (default: dataset.data_path of the options)",
    )
    parser.add_argument(
        "--data_name", metavar="NAME", default="", help="folder of the data set inside --data_path"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="JSON file to write (default: dataset.vocab_path of the options or, with --data_name, "
        "vocab/NAME_splits_vocab.json)",
    )
    parser.add_argument(
        "--threshold",
        type=cli.at_least_1,
        default=5,
        help="minimum word frequency (default: %(default)s)",
    )
    parser.add_argument("--keep-stop-words", action="store_true", help="keep English stop words")
    cli.add_tokenizer_argument(parser)
    parser.add_argument(
        "--training-only", action="store_true", help="do not read the captions of the test split"
    )
    arguments = parser.parse_args(argv)
    if arguments.data_name and arguments.data_path is None:
        arguments.data_path = "data"

    from galr.data.annotations import annotation_files, read_lines
    from galr.data.vocabulary import build_vocabulary, check_words
    from galr.options import load_options

    tokenizer = arguments.tokenizer
    if arguments.data_path is None:
        dataset = load_options(arguments.path_opt, arguments.overrides).dataset
        folder, out = Path(dataset.data_path), dataset.vocab_path
        tokenizer = tokenizer or dataset.tokenizer
    else:
        folder = Path(arguments.data_path, arguments.data_name)
        name = folder.resolve().name.removesuffix("_precomp")
        out = f"vocab/{name}_splits_vocab.json"
    out = arguments.out or out

    splits = ("train",) if arguments.training_only else ("train", "test")
    captions = [line for split in splits for line in read_lines(annotation_files(folder, split)[0])]
    vocabulary = build_vocabulary(
        captions,
        threshold=arguments.threshold,
        stop_words=arguments.keep_stop_words,
        tokenizer=tokenizer or "nltk",
    )
    check_words(vocabulary, folder)
    vocabulary.save(out)
    print(f"{out}: {len(vocabulary.words)} words of {len(captions)} captions ({', '.join(splits)})")


if __name__ == "__main__":
    sys.exit(cli.run(main))
