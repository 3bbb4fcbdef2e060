"""Models as ONNX files with their weights inside, for any length, and their execution by ONNX Runtime.

The files take one utterance without padding: (1, frames, mels) features or a (1, frames, width) stream in fp32; those
of a CTC recogniser take (1, samples) of its waveform, and those of a language model the (1, tokens) of one sentence as
int64.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from prune_bench.files import write_file
from prune_bench.models.transducer import Transducer
from prune_bench.models.transformer_lm import LanguageModel
from prune_bench.models.wav2vec2 import Wav2Vec2

OPSET = 18
EXAMPLE_FRAMES = 96
EXAMPLE_SAMPLES = 8000


def export_encoder(model: Transducer, path: str | Path) -> Path:
    """Write the whole encoder: features (1, frames, mels) -> hidden (1, shorter, width)."""
    encoder = model.encoder
    return export_onnx(encoder, lambda features: encoder(features)[0], _frames(encoder.arch.mels), Path(path))


def export_front_end(model: Transducer, path: str | Path) -> Path:
    """Write the convolutions before the blocks: features (1, frames, mels) -> stream (1, shorter, width)."""
    encoder = model.encoder
    return export_onnx(
        encoder, lambda features: encoder.front_end(features, None)[0], _frames(encoder.arch.mels), Path(path)
    )


def export_blocks(model: Transducer, path: str | Path) -> Path:
    """Write the layers alone: stream (1, frames, width) -> hidden of the same shape."""
    encoder = model.encoder
    return export_onnx(encoder, encoder.blocks, _frames(encoder.arch.width), Path(path))


def export_language_model(model: LanguageModel, path: str | Path) -> Path:
    """Write a language model: tokens (1, length) of a sentence -> logits (1, length, vocabulary) of the next ones."""
    return export_onnx(model, model, torch.zeros(1, EXAMPLE_FRAMES, dtype=torch.long), Path(path))


def export_recogniser(model: Wav2Vec2, path: str | Path) -> Path:
    """Write a CTC recogniser: samples (1, length) at the rate of its training -> log probabilities of its tokens."""
    return export_onnx(model, lambda samples: model(samples)[0], torch.zeros(1, EXAMPLE_SAMPLES), Path(path))


def open_session(path: str | Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU with that many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_encoder(exported: str | Path | onnxruntime.InferenceSession, inputs: Tensor) -> Tensor:
    """Output of an exported file, or of a session opened on one, for `inputs` (1, frames, width)."""
    session = open_session(exported) if isinstance(exported, str | Path) else exported
    return torch.from_numpy(session.run(None, {"input": inputs.numpy()})[0])


class _Part(nn.Module):
    """One function of a model as a module, so that it can be exported alone."""

    def __init__(self, model: nn.Module, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs)


def _frames(width: int) -> Tensor:
    return torch.zeros(1, EXAMPLE_FRAMES, width)


def export_onnx(model: nn.Module, function: Callable[[Tensor], Tensor], example: Tensor, path: Path) -> Path:
    """Write `function` of a model in eval mode, for inputs like `example` with a second dimension of any length."""
    training = model.training
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            _Part(model, function).eval(),
            (example,),
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({1: "frames"},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
    model.train(training)
    return write_file(path, lambda partial: program.save(partial, external_data=False))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own parts: operators of absent packages, types that torch will rename."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"copyreg|torch\.")
            yield
    finally:
        logger.setLevel(level)
