"""The checks of check_device.py: each measures one claim on a device and returns a row."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from benchmarks.step import WORDS, make_batch
from galr.data.batches import Batch
from galr.evaluation.encode import image_embeddings
from galr.model.build import build_model
from galr.model.mvsa import ImageEncoder
from galr.options import Options, load_options
from galr.training.backbone import compile_backbone, set_trainable
from galr.training.loss import Criterion
from galr.training.step import TrainingStep

ROOT = Path(__file__).resolve().parents[1]
DEMO, PAPER = ROOT / "options/demo_GaLR.yaml", ROOT / "options/RSITMD_GaLR.yaml"
STILL = ["model.fusion.mca_DROPOUT_R=0", "model.fusion.dynamic_fusion_drop=0"]
RANDOM = ["model.backbone.weights=null", "model.seq2vec.pretrained=false"]
FROZEN_NORM = "model.backbone.batch_norm=frozen"


class Row(NamedTuple):
    """One claim: what was measured, and whether it holds."""

    claim: str
    measured: str
    holds: bool


def _step(device: torch.device, *changes: str, path: Path = DEMO) -> TrainingStep:
    options = load_options(path, [*RANDOM, *changes])
    torch.manual_seed(0)
    model = build_model(options, WORDS).to(device)
    step = TrainingStep(model, Criterion(options.optim).to(device), options.optim)
    set_trainable(model, options.model.backbone, 0.0)
    return step


def _batch(device: torch.device, *changes: str, path: Path = DEMO) -> Batch:
    options: Options = load_options(path, [*RANDOM, *changes])
    return make_batch(options).to(device)


def _gradients(step: TrainingStep, batch: Batch) -> tuple[float, Tensor]:
    """The loss of a batch, and all gradients in one row, on the CPU."""
    step.optimizer.zero_grad()
    loss = step.accumulate(batch, seed=1).item()
    weights = [weight.grad for weight in step.model.parameters() if weight.grad is not None]
    scaler = step.optimizer.scaler
    scale = scaler.get_scale() if scaler.is_enabled() else 1.0
    return loss, torch.cat([gradient.flatten().double().cpu() for gradient in weights]) / scale


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / one.norm())


@torch.inference_mode()
def embeddings(device: torch.device) -> Row:
    """Of a small model, beside those of the CPU."""
    found = []
    for each in (torch.device("cpu"), device):
        model, batch = _step(each).model.eval(), _batch(each)
        images = image_embeddings(model, batch).cpu()
        found.append(torch.cat([images, model.encode_text(batch.tokens, batch.lengths).cpu()]))
    largest = float((found[0] - found[1]).abs().max())
    return Row(
        "embeddings as on the CPU, float32", f"largest difference {largest:.1e}", largest < 1e-4
    )


def gradients(device: torch.device) -> Row:
    """Of a step without dropout, beside those of the CPU."""
    cpu = torch.device("cpu")
    (first, one), (second, other) = (
        _gradients(_step(each, *STILL), _batch(each)) for each in (cpu, device)
    )
    distance = _distance(one, other)
    measured = f"losses {first:.4f} and {second:.4f}, gradients {distance:.1e} apart"
    return Row("a step as on the CPU, float32", measured, distance < 1e-2)


def _mixed(device: torch.device, amp: str, least: float) -> Row:
    (first, one), (second, other) = (
        _gradients(_step(device, *STILL, f"optim.amp={kind}"), _batch(device))
        for kind in ("off", amp)
    )
    along = float(torch.nn.functional.cosine_similarity(one, other, dim=0))
    measured = f"losses {first:.4f} and {second:.4f}, cosine of the gradients {along:.3f}"
    holds = abs(first - second) < 0.02 * abs(first) and along > least
    return Row(f"amp {amp} beside float32", measured, holds)


def bfloat16(device: torch.device) -> Row:
    """A step in bfloat16."""
    return _mixed(device, "bf16", 0.9)


def float16(device: torch.device) -> Row | None:
    """A step in float16, which CUDA alone has."""
    return _mixed(device, "fp16", 0.95) if device.type == "cuda" else None


def compiled(device: torch.device) -> Row:
    """A step with the backbone compiled."""
    plain, fast = _step(device, *STILL), _step(device, *STILL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of its older parts
        assert isinstance(fast.model.image_encoder, ImageEncoder)
        compile_backbone(fast.model.image_encoder)
        one, other = (_gradients(step, _batch(device))[1] for step in (plain, fast))
    distance = _distance(one, other)
    return Row("torch.compile beside eager", f"gradients {distance:.1e} apart", distance < 1e-2)


def parts(device: torch.device) -> Row:
    """Micro-batches beside the whole batch, with frozen batch normalisation."""
    whole, small = (
        _gradients(_step(device, *STILL, FROZEN_NORM, *size), _batch(device))[1]
        for size in ((), ("optim.micro_batch=9",))
    )
    distance = _distance(whole, small)
    return Row(
        "micro-batches beside the whole batch", f"gradients {distance:.1e} apart", distance < 1e-3
    )


def one_rank(device: torch.device) -> Row:
    """DistributedDataParallel over NCCL (gloo on a CPU) with a single rank."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1"]
    environment = {**os.environ, "CHECK_DEVICE": device.type}
    done = subprocess.run(
        [*command, str(ROOT / "benchmarks/check_device.py"), "--nccl"],
        capture_output=True, text=True, env=environment, timeout=300,
    )  # fmt: skip
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or [""]
    return Row("torchrun with one rank", lines[-1], done.returncode == 0)


def check_one_rank() -> int:
    """The part of ``one_rank`` that torchrun starts; the exit status."""
    device = torch.device(os.environ["CHECK_DEVICE"])
    backend = "nccl" if device.type == "cuda" else "gloo"
    plain = _gradients(_step(device, *STILL), _batch(device))[1]
    dist.init_process_group(backend)
    try:  # in a group, however small, the step spreads its encoder
        distance = _distance(plain, _gradients(_step(device, *STILL), _batch(device))[1])
    finally:
        dist.destroy_process_group()
    print(f"{backend}, gradients {distance:.1e} apart")
    return 0 if distance < 1e-3 else 1


def resumed(device: torch.device) -> Row:
    """Two epochs at once beside one and a resumed one, by the scripts, on the demo data."""
    with tempfile.TemporaryDirectory() as folder:
        data, vocab = Path(folder) / "data/demo_precomp", f"{folder}/vocab.json"
        _run("-m", "galr.demo", "--out", str(data), "--train", "64", "--test", "32")
        _run("vocab.py", "--data_path", f"{folder}/data", "--data_name", data.name, "--out", vocab)
        settings = {
            "dataset.data_path": data, "dataset.vocab_path": vocab,
            "dataset.local_path": "zeros", "logs.ckpt_save_path": folder, "k_fold.nums": 1,
            "device": device.type,
        }  # fmt: skip
        train = [str(ROOT / "train.py"), "--path_opt", str(DEMO)]
        train += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        for name, epochs in (("whole", 2), ("parts", 1), ("parts", 2)):
            changes = [f"k_fold.experiment_name={name}", f"optim.epochs={epochs}"]
            _run(*train, "--resume", *(word for each in changes for word in ("--set", each)))
        one, other = (
            torch.load(f"{folder}/{name}/0/last.pth", map_location="cpu", weights_only=True)[
                "model"
            ]
            for name in ("whole", "parts")
        )
    differ = sum(not torch.equal(value, other[name]) for name, value in one.items())
    return Row("resumed to the bit", f"{differ} of {len(one)} tensors differ", differ == 0)


def _run(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])


def throughput(device: torch.device) -> Row:
    """Of training steps and of evaluation, at the paper's settings (smaller on a CPU)."""
    on_cuda = device.type == "cuda"
    size = [] if on_cuda else ["dataset.image_size=64", "dataset.batch_size=16"]
    step = _step(device, *size, "optim.amp=auto", path=PAPER)
    batch = _batch(device, *size, path=PAPER)
    rounds = 20 if on_cuda else 2

    def rate(call: Callable[[], Any]) -> float:
        call()
        _wait(device)
        started = time.perf_counter()
        for _ in range(rounds):
            call()
        _wait(device)
        return rounds * len(batch.image_index) / (time.perf_counter() - started)

    def evaluate() -> None:
        with torch.inference_mode():
            image_embeddings(step.model, batch)

    trained = rate(lambda: step.step(batch, 1e-4, 1))
    step.model.eval()
    encoded = rate(evaluate)
    memory = f", peak {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB" if on_cuda else ""
    side = batch.images.shape[2]
    measured = f"{trained:.0f} images/s trained, {encoded:.0f} encoded{memory}"
    return Row(f"throughput, {len(batch.image_index)} images of {side} pixels", measured, True)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


CHECKS = (
    embeddings, gradients, bfloat16, float16, compiled, parts, one_rank, resumed, throughput,
)  # fmt: skip
