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
from torch.utils.tensorboard import SummaryWriter

from galr.common.atomic import atomic_path
from galr.common.errors import RunError, UserError
from galr.common.progress import Progress
from galr.common.seeding import derive_seed, seed_everything
from galr.model.skipthoughts import KINDS
from galr.model.weights import read_torch_file
from galr.skipthoughts_training.corpus import Corpus, Indices
from galr.skipthoughts_training.model import Neighbours, Sentences, SkipThoughtsModel, Softmax
from galr.training.checkpoint import write_log

logger = logging.getLogger(__name__)

ENCODERS = {"uni": KINDS["UniSkip"], "bi": KINDS["BiSkip"]}


@dataclass(frozen=True)
class Settings:
    """What a training is a function of, besides the corpus."""

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
class Standing:
    """Where a training stands: all that the next step depends on, besides model and optimiser."""

    epoch: int = 0
    step: int = 0  # steps done in this epoch
    log_probability: float = 0.0  # their sum over the words foretold so far in this epoch
    words: int = 0
    best_perplexity: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Trains on ``corpus``; leaves last.pth, best.pth, log.csv and TensorBoard's in ``folder``."""

    def __init__(
        self, corpus: Corpus, settings: Settings, folder: Path, device: torch.device
    ) -> None:
        self.corpus, self.settings, self.folder, self.device = corpus, settings, folder, device
        seed_everything(settings.seed, "skipthoughts")
        encoder = ENCODERS[settings.kind](len(corpus.words), settings.word_dim, settings.hidden_dim)
        self.model = SkipThoughtsModel(encoder, settings.decoder_dim, settings.softmax).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.lr)
        self.standing = Standing()

    @property
    def last(self) -> Path:
        """The checkpoint that a resumed training starts from."""
        return self.folder / "last.pth"

    @property
    def best(self) -> Path:
        """The model of the epoch with the lowest held-out perplexity, or of the last epoch."""
        return self.folder / "best.pth"

    def run(self, checkpoint_steps: int) -> None:
        """Trains all epochs that are left, and leaves the best model's weights in ``model``."""
        with self._board() as board:
            try:
                while self.standing.epoch < self.settings.epochs:
                    self._train_epoch(checkpoint_steps)
                    self._finish_epoch(board)
            except KeyboardInterrupt:
                where = f"--resume goes on from {self.last}" if self.last.exists() else "start anew"
                raise KeyboardInterrupt(f"stopped by Ctrl-C; {where}") from None
        self.model.load_state_dict(read_torch_file(self.best, "train anew by --overwrite"))

    def _board(self) -> SummaryWriter:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return SummaryWriter(str(self.folder))
        except OSError as error:
            raise RunError(
                self.folder, f"cannot be written ({error.strerror})", "name another --out"
            ) from None

    def resume(self) -> None:
        """Goes on from last.pth. Raises UserError where that was another training."""
        state = read_torch_file(self.last, "start without --resume")
        now = self._belongings()
        changed = [key for key in now if now[key] != state.get(key)]
        if changed:
            raise UserError(
                self.last,
                f"was trained with {changed[0]} {state.get(changed[0])}, now {now[changed[0]]}",
                "resume with the same command, or start anew by --overwrite",
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.standing = Standing(**state["standing"])
        logger.info("going on at epoch %d, step %d", self.standing.epoch + 1, self.standing.step)

    def _belongings(self) -> dict[str, Any]:
        """What must not change between a training and its continuation; epochs may."""
        digest = hashlib.sha256("\n".join(self.corpus.words).encode())
        for part in (self.corpus.tokens, self.corpus.starts, self.corpus.training):
            digest.update(part.tobytes())
        settings = {key: value for key, value in asdict(self.settings).items() if key != "epochs"}
        return {**settings, "corpus": digest.hexdigest()[:16]}

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "standing": asdict(self.standing),
            **self._belongings(),
        }
        with atomic_path(self.last) as temporary:
            torch.save(state, temporary)

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
        standing, settings = self.standing, self.settings
        # the order depends on seed and epoch alone, so a resumed epoch goes on in the same one
        order = np.random.default_rng(derive_seed(settings.seed, "epoch", standing.epoch))
        sentences = order.permutation(self.corpus.training)
        left = sentences[standing.step * settings.batch_size :]
        self.model.train()
        title = f"epoch {standing.epoch + 1} of {settings.epochs}"
        with Progress(title, total=len(left), unit="sentences") as progress:
            for batch in self._batches(left):
                self._step(*batch)
                progress.advance(len(batch[0].lengths))
                progress.show(perplexity=_perplexity(standing.log_probability, standing.words))
                if standing.step % checkpoint_steps == 0:
                    self._save()
            self._rate = progress.rate

    def _step(self, *batch: Any) -> None:  # noqa: ANN401 - what _batches yields
        log_probability = self.model(*batch)
        loss = -log_probability.mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.optimizer.step()
        self.standing.step += 1
        self.standing.log_probability += float(log_probability.detach().double().sum())
        self.standing.words += len(log_probability)
        if not math.isfinite(self.standing.log_probability):
            raise RunError(
                self.folder,
                f"the loss is no number at epoch {self.standing.epoch + 1}",
                "lower --lr; --resume goes on from the last checkpoint",
            )

    @torch.inference_mode()
    def held_out_perplexity(self) -> float:
        """exp of the mean loss a word of the held-out sentences' neighbours."""
        self.model.eval()
        total, words = 0.0, 0
        for batch in self._batches(self.corpus.held_out):
            log_probability: Tensor = self.model(*batch)
            total += float(log_probability.double().sum())
            words += len(log_probability)
        return _perplexity(total, words)

    def _finish_epoch(self, board: SummaryWriter) -> None:
        standing = self.standing
        row = {
            "epoch": standing.epoch + 1,
            "perplexity": _perplexity(standing.log_probability, standing.words),
        }
        best = True
        if len(self.corpus.held_out):
            row["held_out_perplexity"] = self.held_out_perplexity()
            best = row["held_out_perplexity"] < standing.best_perplexity
            standing.best_perplexity = min(standing.best_perplexity, row["held_out_perplexity"])
        standing.history.append(row)
        standing.epoch, standing.step = standing.epoch + 1, 0
        standing.log_probability, standing.words = 0.0, 0
        if best:
            with atomic_path(self.best) as temporary:
                torch.save(self.model.state_dict(), temporary)
        self._save()
        write_log(self.folder / "log.csv", standing.history)
        for name, value in row.items():
            if name != "epoch":
                board.add_scalar(name, value, standing.epoch)
        logger.info(
            "%s, %.0f sentences a second%s",
            ", ".join(f"{name.replace('_', ' ')} {value:.5g}" for name, value in row.items()),
            self._rate,
            " (best)" if best and len(self.corpus.held_out) else "",
        )


def _perplexity(log_probability: float, words: int) -> float:
    return math.exp(min(-log_probability / max(words, 1), 700.0))
