"""What was published, and the conditions it was measured in."""

from __future__ import annotations

from prune_bench.reports.rows.cells import Cell, Setting

LIBRISPEECH = "LibriSpeech, wav2vec 2.0 base, no language model"
COMMON_VOICE = "Common Voice, one hour a language, phone error rates"
SPLITS = ("test-clean", "test-other")
ALL_LANGUAGES = ("es", "fr", "it", "ky", "nl", "ru", "sv", "tr", "tt", "zh")
ENGLISH: Setting = (("corpus.labels", "10h"), ("corpus.language", "en"))
PHONES: Setting = (("corpus.labels", "1h"), ("corpus.targets", "phones"), ("tokenizer.kind", "words"))
H2L: Setting = (("pretraining.languages", "en"),)
CSR: Setting = (("pretraining.languages", "en+" + "+".join(ALL_LANGUAGES)),)
DUTCH = "nl"
SHARED = 0.5
ALL_METHODS = ("rp", "mpi", "omp", "imp", "parp", "parp_p", "parp_p_staged")

# method, fine-tunings, WER clean, WER other at 90 %, with ten hours of labels
TABLE1 = (
    ("rp", 1, 94.5, 96.4),
    ("mpi", 1, 93.6, 96.1),
    ("omp", 2, 92.0, 95.3),
    ("imp", 10, 89.6, 93.9),
    ("parp", 1, 83.6, 90.7),
    ("parp_p", 1, 51.9, 69.1),
    ("parp_p_staged", 2, 33.6, 53.3),
)
# size, method, sparsity, WER clean, WER other, with ten minutes of labels; dense rows as replicated by the authors
TABLE2 = (
    ("base", "dense", 0.0, 49.3, 53.2),
    ("base", "parp", 0.1, 38.0, 44.3),
    ("large", "dense", 0.0, 46.3, 48.1),
    ("large", "parp", 0.1, 33.7, 37.2),
)
MODEL_SIZES: dict[str, Setting] = {
    size: (("corpus.labels", "10min"), ("encoder.size", size)) for size in ("base", "large")
}
# pretraining, method, sparsity, phone error rate: means over ten languages
TABLE3 = (
    (H2L, "dense", 0.0, 18.7),
    (H2L, "omp", 0.7, 41.3),
    (H2L, "parp", 0.9, 40.1),
    (CSR, "dense", 0.0, 9.9),
    (CSR, "omp", 0.9, 33.9),
    (CSR, "parp_p", 0.9, 22.9),
)


def rates(clean: float, other: float) -> dict[str, float]:
    return {"wer.test-clean": clean, "wer.test-other": other}


PUBLISHED1 = {Cell(m, 0.9): {**rates(clean, other), "fine_tunings": count} for m, count, clean, other in TABLE1}
PUBLISHED2 = {
    Cell(method, sparsity, MODEL_SIZES[size]): rates(clean, other) for size, method, sparsity, clean, other in TABLE2
}
PUBLISHED3 = {Cell(m, sparsity, setting): {"wer.test-clean": rate} for setting, m, sparsity, rate in TABLE3}
