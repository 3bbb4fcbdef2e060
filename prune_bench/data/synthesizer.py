"""eSpeak NG behind a pipe: a script of the standard library alone, run in a process of its own.

The engine keeps global state, so a fresh process, the random seed set first and a fixed order of requests are what
makes its output equal to the bit. The process reads one JSON job from standard input. To speak, it writes to standard
output the sample rate, then for each request its number of samples and the 16-bit samples (all integers
little-endian); to transcribe, a JSON list.
"""

from __future__ import annotations

import ctypes
import json
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SYNCHRONOUS, DONT_EXIT, UTF8 = 2, 0x8000, 1
RATE, PITCH = 1, 3
IPA = 2
SETTING = "setting voice"


@dataclass(frozen=True)
class Request:
    """One utterance: `pitch` 0-100 (50 is the voice's own), `rate` in words per minute."""

    text: str
    pitch: int
    rate: int


def synthesize(voice: str, seed: int, requests: Sequence[Request]) -> tuple[int, list[bytes]]:
    """Speak `requests` with `voice` (`language+variant`, as in `en-us+f2`); give the sample rate and 16-bit samples.

    Raises ValueError for a variant that the engine's data folder does not hold, RuntimeError for a failed synthesis.
    """
    return unpack(run_engine(voice, {"seed": seed, "requests": [asdict(request) for request in requests]}))


def transcribe(voice: str, texts: Sequence[str]) -> list[str]:
    """How `voice` pronounces each text: the engine's own IPA, words apart by a space, phones within one by `_`.

    Raises ValueError for a language that the engine lacks.
    """
    return list(json.loads(run_engine(voice, {"seed": 1, "texts": list(texts)})))


def run_engine(voice: str, job: dict[str, Any]) -> bytes:
    """What a fresh process of the engine writes for a job."""
    import espeakng_loader

    library, data = Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
    check_variant(voice, data)
    job = {"library": str(library), "voice": voice, **job}
    # The engine holds its data path in 160 bytes; a relative one is always short enough.
    command = [sys.executable, "-I", str(Path(__file__).resolve())]
    done = subprocess.run(command, input=json.dumps(job).encode(), capture_output=True, cwd=data.parent)
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"]
        if lines[-1].startswith(SETTING):
            raise ValueError(f"voice {voice!r}: eSpeak NG has no such language; correct corpus.language")
        raise RuntimeError(f"eSpeak NG failed for voice {voice!r}: {lines[-1]}")
    return done.stdout


def check_variant(voice: str, data: Path) -> None:
    """Refuse an unknown variant: the engine itself accepts any name and speaks without it."""
    variant = voice.partition("+")[2]
    if variant and not (data / "voices" / "!v" / variant).is_file():
        raise ValueError(f"voice {voice!r}: eSpeak NG has no variant {variant!r} in {data / 'voices' / '!v'}")


def unpack(stream: bytes) -> tuple[int, list[bytes]]:
    """Split the engine's output stream into the sample rate and one block of samples a request."""
    (sample_rate,), offset, blocks = struct.unpack_from("<i", stream), 4, []
    while offset < len(stream):
        (count,) = struct.unpack_from("<i", stream, offset)
        blocks.append(stream[offset + 4 : offset + 4 + 2 * count])
        offset += 4 + 2 * count
    return sample_rate, blocks


def checked(status: int, action: str) -> None:
    if status != 0:
        raise SystemExit(f"{action} returned {status}")


def speak(engine: Any, request: dict[str, Any], chunks: list[bytes]) -> bytes:
    """Samples of one request; the callback fills `chunks` while the call lasts."""
    chunks.clear()
    checked(engine.espeak_SetParameter(PITCH, request["pitch"], 0), f"setting pitch {request['pitch']}")
    checked(engine.espeak_SetParameter(RATE, request["rate"], 0), f"setting rate {request['rate']}")
    text = request["text"].encode()
    status = engine.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 0, 0, UTF8, None, None)
    checked(status, f"speaking {request['text']!r}")
    if not chunks:
        raise SystemExit(f"no sound for {request['text']!r}")
    return b"".join(chunks)


def pronounce(engine: Any, text: str) -> str:
    """IPA of one text; the engine hands it over clause by clause and moves the pointer on."""
    text_bytes = ctypes.create_string_buffer(text.encode())
    place = ctypes.c_void_p(ctypes.addressof(text_bytes))
    clauses = []
    while place.value:
        clauses.append(engine.espeak_TextToPhonemes(ctypes.byref(place), UTF8, IPA | ord("_") << 8).decode())
    return " ".join(clauses)


def main() -> None:
    job, output, chunks = json.load(sys.stdin), sys.stdout.buffer, []  # type: ignore[var-annotated]

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def receive(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    engine = ctypes.CDLL(job["library"])
    sample_rate = engine.espeak_Initialize(SYNCHRONOUS, 0, b".", DONT_EXIT)
    if sample_rate <= 0:
        raise SystemExit(f"initialisation returned {sample_rate}")
    checked(engine.espeak_ng_SetRandSeed(ctypes.c_long(job["seed"])), f"setting seed {job['seed']}")
    checked(engine.espeak_SetVoiceByName(job["voice"].encode()), f"{SETTING} {job['voice']!r}")
    if "texts" in job:
        engine.espeak_TextToPhonemes.restype = ctypes.c_char_p
        output.write(json.dumps([pronounce(engine, text) for text in job["texts"]]).encode())
        return
    engine.espeak_SetSynthCallback(receive)
    output.write(struct.pack("<i", sample_rate))
    for request in job["requests"]:
        samples = speak(engine, request, chunks)
        output.write(struct.pack("<i", len(samples) // 2) + samples)


if __name__ == "__main__":
    main()
