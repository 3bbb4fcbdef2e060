from __future__ import annotations

import pytest

from prune_bench.data.grammar import LONGEST, SHORTEST, Lexicon, languages, owner, sentences
from prune_bench.data.phones import clean, phonemize


def test_stress_tone_and_mnemonics_go():
    assert clean("ˈe_l k_ˈe") == ["e", "l", "k", "e"]
    assert clean("dZ_ɑ_n_ˌɑ d[_ˈu:") == ["dʒ", "ɑ", "n", "ɑ", "d", "uː"]
    assert clean("ts.h_ˈi.5 w_ˈo2_ _", tonal=True) == ["tʂh", "ɨ", "w", "o"]
    assert clean("(en)h_ˈe(es) _") == ["h", "e"]


def test_phones_are_those_of_the_language():
    assert phonemize("es", ["mesa", "la casa"]) == ["m e s a", "l a k a s a"]
    assert phonemize("en", ["ship"]) == ["ʃ ɪ p"]
    with pytest.raises(ValueError, match=r"'nosuch': eSpeak NG has no such language; correct corpus\.language"):
        phonemize("nosuch", ["mesa"])


@pytest.mark.parametrize("language", languages())
def test_every_language_is_pronounced_in_plain_phones(language):
    words = Lexicon(language).words
    assert len(set(words)) == len(words) > 100
    phones = [pronounced.split() for pronounced in phonemize(language, words)]
    assert all(phones)
    inventory = {phone for word in phones for phone in word}
    assert 20 <= len(inventory) <= 70
    assert not [phone for phone in inventory if set(phone) & set("ˈˌ_()[]^:.-0123456789 ") or phone.isupper()]


@pytest.mark.parametrize("language", languages())
def test_sentences_of_a_language_are_new_in_every_split(language):
    train, test = (list(sentences(split, 200, 0, language)) for split in ("train", "test-clean"))
    assert len({*train, *test}) == 400
    assert {owner(sentence) for sentence in test} == {"test-clean"}
    assert {len(sentence.split()) for sentence in train} <= set(range(SHORTEST, LONGEST + 1))
    assert train[:50] == list(sentences("train", 50, 0, language))
    assert train != list(sentences("train", 200, 1, language))
    assert {word for sentence in train for word in sentence.split()} <= set(Lexicon(language).words)


def test_a_language_without_words_is_refused():
    with pytest.raises(ValueError, match="'xx': choose from es, fr, it, ky, nl, ru, sv, tr, tt, zh"):
        next(sentences("train", 1, 0, "xx"))
