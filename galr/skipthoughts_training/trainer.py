"""The training loop: epochs, held-out perplexity, checkpoints, resume."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from galr.common import interrupts
from galr.common.errors import RunError, UserError
from galr.common.events import Events
from galr.common.progress import Progress
from galr.common.saving import save_torch
from galr.common.seeding import derive_seed, seed_everything
from galr.model.skipthoughts import KINDS
from galr.monitoring.epoch_log import write_log
from galr.skipthoughts_training.corpus import Corpus, Indices
from galr.skipthoughts_training.model import Neighbours, Sentences, SkipThoughtsModel, Softmax
from galr.weights.files import read_torch_file

logger = logging.getLogger(__name__)

ENCODERS = {"uni": KINDS["UniSkip"], "bi": KINDS["BiSkip"]}


@dataclass(frozen=True)
class Settings:
    """Everything the trained weights depend on, besides the corpus."""

    kind: Literal["uni", "bi"] = "uni"
    word_dim: int = 620
    hidden_dim: int = 2400
    decoder_dim: int = 2400
    softmax: Softmax = "adaptive"
    epochs: int = 10
    batch_size: int = 128
    lr: float = 1e-3
    clip: float = 10.0
    seed: int = 0


@dataclass
class TrainerState:
    """Everything the next step depends on, besides model and optimiser."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of this epoch
    log_probability: float = 0.0  # summed over the words predicted so far in this epoch
    words: int = 0
    best_perplexity: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Trains on ``corpus``; writes last.pth, best.pth, log.csv and TensorBoard events."""

    def __init__(
        self, corpus: Corpus, settings: Settings, folder: Path, device: torch.device
    ) -> None:
        self.corpus, self.settings, self.folder, self.device = corpus, settings, folder, device
        seed_everything(settings.seed, "skipthoughts")
        encoder = ENCODERS[settings.kind](len(corpus.words), settings.word_dim, settings.hidden_dim)
        self.model = SkipThoughtsModel(encoder, settings.decoder_dim, settings.softmax).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.lr)
        self.state = TrainerState()

    @property
    def last(self) -> Path:
        """The checkpoint that a resumed run starts from."""
        return self.folder / "last.pth"

    @property
    def best(self) -> Path:
        """The model of the epoch with the lowest held-out perplexity, or of the last epoch."""
        return self.folder / "best.pth"

    def run(self, checkpoint_steps: int) -> None:
        """Trains the remaining epochs and loads the best weights into ``model``."""
        with self._events() as events:
            try:
                while self.state.epoch < self.settings.epochs:
                    self._train_epoch(checkpoint_steps)
                    self._finish_epoch(events)
            except KeyboardInterrupt:
                remedy = f"--resume continues from {self.last}"
                if not self.last.exists():
                    remedy = "there is no checkpoint yet: start over"
                raise KeyboardInterrupt(f"{interrupts.told()}; {remedy}") from None
        self.model.load_state_dict(read_torch_file(self.best, "train again with --overwrite"))

    def _events(self) -> Events:
        events = Events(self.folder, self.state.history)
        if self.state.history:  # a killed run may have saved only its state
            write_log(self.folder / "log.csv", self.state.history)
        return events

    def resume(self) -> None:
        """Resumes from last.pth. Raises UserError if that is from another training."""
        entries = read_torch_file(self.last, "start without --resume")
        identity = self._identity()
        changed = [key for key in identity if identity[key] != entries.get(key)]
        if changed:
            key = changed[0]
            raise UserError(
                self.last,
                f"was trained with {key} {entries.get(key)}, now {identity[key]}",
                "resume with the same command, or start over with --overwrite",
            )
        self.model.load_state_dict(entries["model"])
        self.optimizer.load_state_dict(entries["optimizer"])
        self.state = TrainerState(**entries["standing"])
        logger.info("resuming at epoch %d, step %d", self.state.epoch + 1, self.state.step)

    def _identity(self) -> dict[str, Any]:
        """What a resumed run must share: everything but the number of epochs."""
        digest = hashlib.sha256("\n".join(self.corpus.words).encode())
        for part in (self.corpus.tokens, self.corpus.starts, self.corpus.training):
            digest.update(part.tobytes())
        settings = {key: value for key, value in asdict(self.settings).items() if key != "epochs"}
        return {**settings, "corpus": digest.hexdigest()[:16]}

    def _save(self) -> None:
        entries = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "standing": asdict(self.state),
            **self._identity(),
        }
        save_torch(self.last, entries, parents=False)  # a folder that was moved away is missed

    def _batches(self, sentences: Indices) -> Iterator[tuple[Sentences, Neighbours, Neighbours]]:
        for start in range(0, len(sentences), self.settings.batch_size):
            chosen = sentences[start : start + self.settings.batch_size]
            yield self._sentences(chosen), self._neighbours(chosen, -1), self._neighbours(chosen, 1)

    def _sentences(self, chosen: Indices) -> Sentences:
        tokens, lengths = self.corpus.padded(chosen)
        return Sentences(torch.from_numpy(tokens).to(self.device), torch.from_numpy(lengths))

    def _neighbours(self, chosen: Indices, offset: int) -> Neighbours:
        rows = np.flatnonzero(self.corpus.with_neighbour(chosen, offset))
        return Neighbours(
            self._sentences(chosen[rows] + offset), torch.from_numpy(rows).to(self.device)
        )

    def _train_epoch(self, checkpoint_steps: int) -> None:
        state, settings = self.state, self.settings
        # a function of seed and epoch alone: a resumed epoch continues in the same order
        order = np.random.default_rng(derive_seed(settings.seed, "epoch", state.epoch))
        sentences = order.permutation(self.corpus.training)
        left = sentences[state.step * settings.batch_size :]
        self.model.train()
        title = f"epoch {state.epoch + 1} of {settings.epochs}"
        with Progress(title, total=len(left), unit="sentences") as progress:
            for batch in self._batches(left):
                self._step(*batch)
                progress.advance(len(batch[0].lengths))
                progress.show(perplexity=_perplexity(state.log_probability, state.words))
                if state.step % checkpoint_steps == 0:
                    self._save()
            self._rate = progress.rate

    def _step(self, *batch: Any) -> None:  # noqa: ANN401 - what _batches yields
        log_probability = self.model(*batch)
        loss = -log_probability.mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.optimizer.step()
        self.state.step += 1
        self.state.log_probability += float(log_probability.detach().double().sum())
        self.state.words += len(log_probability)
        if not math.isfinite(self.state.log_probability):
            raise RunError(
                self.folder,
                f"the loss is NaN or infinite at epoch {self.state.epoch + 1}",
                "lower --lr; --resume continues from the last checkpoint",
            )

    @torch.inference_mode()
    def held_out_perplexity(self) -> float:
        """exp of the mean loss per word of the held-out sentences' neighbours."""
        self.model.eval()
        total, words = 0.0, 0
        for batch in self._batches(self.corpus.held_out):
            log_probability: Tensor = self.model(*batch)
            total += float(log_probability.double().sum())
            words += len(log_probability)
        return _perplexity(total, words)

    def _finish_epoch(self, events: Events) -> None:
        state = self.state
        row = {
            "epoch": state.epoch + 1,
            "perplexity": _perplexity(state.log_probability, state.words),
        }
        best = True
        if len(self.corpus.held_out):
            row["held_out_perplexity"] = self.held_out_perplexity()
            best = row["held_out_perplexity"] < state.best_perplexity
            state.best_perplexity = min(state.best_perplexity, row["held_out_perplexity"])
        state.history.append(row)
        state.epoch, state.step = state.epoch + 1, 0
        state.log_probability, state.words = 0.0, 0
        if best:
            save_torch(self.best, self.model.state_dict(), parents=False)
        self._save()
        write_log(self.folder / "log.csv", state.history)
        events.add(row)
        logger.info(
            "%s, %.0f sentences/s%s",
            ", ".join(f"{name.replace('_', ' ')} {value:.5g}" for name, value in row.items()),
            self._rate,
            " (best)" if best and len(self.corpus.held_out) else "",
        )


def _perplexity(log_probability: float, words: int) -> float:
    return math.exp(min(-log_probability / max(words, 1), 700.0))
