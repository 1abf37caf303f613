"""A tiny language model, how the Trainer trains it, and the same by hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exptest import ExpTest
from exptest.record import Record
from tests.integrations.loops import SETTINGS, weights

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # random weights: nothing is downloaded
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from exptest.integrations.transformers import ExpTestCallback  # noqa: E402

STEPS, BATCH, LENGTH, WORDS = 80, 4, 8, 11


class Sentences(torch.utils.data.Dataset):
    """Words that count upwards with gaps; some are not to be predicted."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        step = torch.randint(1, 3, (BATCH * 30, LENGTH), generator=generator)
        self.ids = step.cumsum(1) % WORDS
        share = torch.linspace(0, 0.8, len(self.ids))[:, None]
        hidden = torch.rand(self.ids.shape, generator=generator) < share
        hidden[:, 0] = True  # the first is never predicted; some versions count it all the same
        self.labels = torch.where(hidden, -100, self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {"input_ids": self.ids[i], "labels": self.labels[i]}


def language_model() -> Any:
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        n_layer=1, n_head=2, n_embd=8, vocab_size=WORDS, n_positions=LENGTH,
        bos_token_id=0, eos_token_id=0, pad_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).double()


def arguments(folder: Path, **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "disable_tqdm": True,
        "logging_steps": 1,
        "max_steps": STEPS,
        "optim": "sgd",
        "output_dir": str(folder),
        "per_device_train_batch_size": BATCH,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
    }
    return transformers.TrainingArguments(**(defaults | options))


class InOrder(transformers.Trainer):
    """Without shuffling, so that a plain loop sees the same batches."""

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def train(
    folder: Path, kind: type = InOrder, callback: Any = None, resume: Any = None, **options: Any
) -> Any:
    callback = callback or ExpTestCallback(**SETTINGS)
    trainer = kind(
        language_model(), arguments(folder, **options), train_dataset=Sentences(),
        eval_dataset=Sentences(), callbacks=[callback],
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=resume)
    return callback, trainer


def words(update: list[dict[str, Tensor]]) -> Any:
    return sum((batch["labels"][:, 1:] != -100).sum() for batch in update)


def mean_over_words(model: Any, batch: dict[str, Tensor], update: list[Any]) -> Tensor:
    return model(**batch, num_items_in_batch=words(update)).loss


def plain(
    *, accumulate: int = 1, adam: bool = False, loss_of: Callable[..., Tensor] = mean_over_words
) -> tuple[Record, list[Tensor]]:
    """The Trainer's steps by hand: the mean over the words of an update, clipped to norm 1."""
    model, sentences = language_model(), Sentences()
    model.train()
    base = (torch.optim.AdamW if adam else torch.optim.SGD)(
        [
            {"params": [p for p in model.parameters() if p.dim() > 1]},
            {"params": [p for p in model.parameters() if p.dim() == 1]},
        ],
        lr=1.0, **({"weight_decay": 0.0} if adam else {}),
    )  # fmt: skip
    tuner = ExpTest(base, model=model, **SETTINGS)
    batches = [
        {"input_ids": sentences.ids[i : i + BATCH], "labels": sentences.labels[i : i + BATCH]}
        for i in range(0, len(sentences), BATCH)
    ]
    updates = [batches[i : i + accumulate] for i in range(0, len(batches), accumulate)]
    for step in range(STEPS):
        update = updates[step % len(updates)]
        base.zero_grad()
        losses = [loss_of(model, batch, update) for batch in update]
        for loss in losses:
            loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        base.step()
        tuner.step(sum(loss.detach() for loss in losses))
    return tuner.record, weights(model)
