from __future__ import annotations

import pytest

from prune_bench.config import TokenizerConfig
from prune_bench.data.grammar import sentences
from prune_bench.data.tokenizers import BLANK, load_tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return list(sentences("train", 400, seed=0))


@pytest.fixture(params=["characters", "sentencepiece", "words"])
def tokenizer(request, texts):
    return train_tokenizer(TokenizerConfig(request.param, size=64), texts)


def test_text_survives_and_no_token_is_the_blank(tokenizer, texts):
    for text in texts[:50]:
        tokens = tokenizer.encode(text)
        assert tokenizer.decode(tokens) == text
        assert BLANK not in tokens
        assert max(tokens) < tokenizer.size


def test_decoding_leaves_out_blanks(tokenizer):
    tokens = tokenizer.encode("the dog")
    assert tokenizer.decode([0, *tokens, 0]) == "the dog"
    assert tokenizer.decode([]) == ""


def test_what_is_unknown_is_refused_by_name(tokenizer):
    with pytest.raises(ValueError, match=r"'(ß|straße)' does not occur in the training text"):
        tokenizer.encode("the straße")


def test_saved_tokenizer_is_the_same(tokenizer, texts, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    again = load_tokenizer(tmp_path / "tokenizer.json")
    assert again.size == tokenizer.size
    assert [again.encode(text) for text in texts] == [tokenizer.encode(text) for text in texts]
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_size_counts_the_blank(texts):
    assert train_tokenizer(TokenizerConfig("sentencepiece", size=64), texts).size == 65
    assert train_tokenizer(TokenizerConfig("characters"), ["ab", "ba c"]).size == 5
    assert train_tokenizer(TokenizerConfig("words"), ["ab", "ba c"]).size == 4


def test_more_pieces_make_shorter_sequences(texts):
    few, many = (train_tokenizer(TokenizerConfig("sentencepiece", size=size), texts) for size in (40, 200))
    assert sum(len(many.encode(text)) for text in texts) < 0.8 * sum(len(few.encode(text)) for text in texts)


def test_a_small_vocabulary_gives_as_many_pieces_as_it_has():
    digits = "zero one two three four five six seven eight nine"
    tokenizer = train_tokenizer(TokenizerConfig("sentencepiece", size=500), [digits] * 20)
    assert 10 < tokenizer.size < 501
    assert tokenizer.decode(tokenizer.encode("nine two")) == "nine two"


@pytest.mark.parametrize(
    ("config", "message"),
    [(TokenizerConfig("sentencepiece", size=5), "tokenizer.size=5 is too small"), (TokenizerConfig("bytes"), "choose")],
)
def test_impossible_configuration_is_refused(config, message, texts):
    with pytest.raises(ValueError, match=message):
        train_tokenizer(config, texts)
