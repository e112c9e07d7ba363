"""One training run: reads the text, trains or resumes, and writes the skip-thought files."""

from __future__ import annotations

import argparse
import logging
from dataclasses import fields
from itertools import chain
from pathlib import Path

from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.common.folder_lock import only_writer
from galr.common.seeding import derive_seed
from galr.skipthoughts_training.corpus import (
    Corpus,
    CorpusBuilder,
    caption_documents,
    text_documents,
)
from galr.skipthoughts_training.expansion import WordVectors
from galr.skipthoughts_training.export import check_folder, export
from galr.skipthoughts_training.trainer import Settings, Trainer

logger = logging.getLogger(__name__)


def run(arguments: argparse.Namespace) -> None:
    """Trains or resumes as the arguments say; raises UserError rather than overwrite a training."""
    device = choose_device(arguments.device)
    corpus = read_corpus(arguments)
    vectors = WordVectors(arguments.expand, corpus.words) if arguments.expand else None
    words = [*corpus.words, *(vectors.new_words if vectors else ())]
    trainer = Trainer(corpus, settings_of(arguments), training_folder(arguments), device)
    resumes = arguments.resume and trainer.last.exists()
    check_folder(arguments.out, arguments.kind, words, arguments.overwrite or resumes)
    with only_writer(trainer.folder):
        if resumes:
            trainer.resume()
        elif trainer.last.exists() and not arguments.overwrite:
            raise UserError(
                trainer.last,
                "an unfinished training exists",
                "add --resume to continue it, or --overwrite to start over",
            )
        else:
            trainer.last.unlink(missing_ok=True)  # must not be resumed later
        trainer.run(arguments.checkpoint_steps)
        export(trainer.model.encoder, corpus.words, vectors, arguments.out)


def training_folder(arguments: argparse.Namespace) -> Path:
    """The folder for checkpoints, next to the files that are made from them."""
    return Path(arguments.out) / f"{arguments.kind}_training"


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The arguments that the trained weights depend on."""
    given = {field.name: getattr(arguments, field.name) for field in fields(Settings)}
    if given["decoder_dim"] is None:
        given["decoder_dim"] = arguments.hidden_dim
    return Settings(**given)


def read_corpus(arguments: argparse.Namespace) -> Corpus:
    """Reads all files and folders, and logs a summary."""
    excluded = chain.from_iterable(chain.from_iterable(map(text_documents, arguments.exclude)))
    builder = CorpusBuilder(arguments.max_words, excluded)
    for path in arguments.corpus:
        builder.add_all(text_documents(path))
    for folder in arguments.captions:
        builder.add_all(caption_documents(folder))
    corpus = builder.build(
        max_vocabulary=arguments.vocabulary,
        min_count=arguments.min_count,
        held_out_share=arguments.held_out,
        seed=derive_seed(arguments.seed, "held out"),
    )
    log_corpus(builder, corpus)
    return corpus


def log_corpus(builder: CorpusBuilder, corpus: Corpus) -> None:
    """Logs what was read, truncated and excluded."""
    logger.info(
        "%d documents with %d sentences, %d words; training on %d sentences",
        builder.documents,
        len(corpus.document),
        len(corpus.tokens),
        len(corpus.training),
    )
    logger.info("vocabulary: %d words", len(corpus.words))
    if len(corpus.held_out):
        logger.info(
            "held out: %d sentences, %d of which also occur in the training part",
            len(corpus.held_out),
            corpus.held_out_repeats(),
        )
    if builder.left_out:
        logger.info("excluded by --exclude: %d sentences", builder.left_out)
    if builder.truncated:
        logger.info("truncated to %d words: %d sentences", builder.max_words, builder.truncated)
