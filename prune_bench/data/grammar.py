"""Sentences with Zipf-like word frequencies, the text of the synthetic corpus: a small English grammar, and words of
other languages.

A rule is a list of (weight, expansion); a lower-case word stands for itself, an upper-case one for a rule or a word
class. Words of a class are listed from frequent to rare.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

LEXICONS = Path(__file__).parent / "lexicons"
MAX_WORDS = 9
SHORTEST, LONGEST = 3, 7
EXPONENT, SHIFT = 1.1, 2.0

RULES: dict[str, list[tuple[float, str]]] = {
    "SENTENCE": [
        (4, "SUBJECT TRANSITIVE_ED OBJECT"),
        (3, "SUBJECT TRANSITIVE_ED OBJECT WHERE"),
        (2, "SUBJECT MODAL TRANSITIVE OBJECT"),
        (2, "SUBJECT WAS TRANSITIVE_ING OBJECT"),
        (2, "SUBJECT INTRANSITIVE_ED WHERE"),
        (2, "SUBJECT MODAL INTRANSITIVE WHERE"),
        (1, "SUBJECT WAS INTRANSITIVE_ING ADVERB"),
        (2, "TIME SUBJECT INTRANSITIVE_ED ADVERB"),
        (1, "TIME SUBJECT TRANSITIVE_ED OBJECT"),
        (2, "there were NUMBER ADJECTIVE PLURAL WHERE"),
        (1, "NAME and NAME TRANSITIVE_ED OBJECT"),
        (1, "NAME has NUMBER PLURAL and NUMBER PLURAL"),
        (1, "the THING WHERE is DEGREE ADJECTIVE"),
        (1, "NUMBER PLURAL were DEGREE ADJECTIVE TIME"),
        (1, "QUESTION SUBJECT TRANSITIVE OBJECT"),
        (1, "please TRANSITIVE OBJECT ADVERB"),
        (1, "PRONOUN TRANSITIVE_ED it CONJUNCTION PRONOUN INTRANSITIVE_ED"),
        (1, "SUBJECT INTRANSITIVE_ED CONJUNCTION SUBJECT INTRANSITIVE_ED"),
    ],
    "SUBJECT": [(3, "DETERMINER PERSON"), (2, "NAME"), (2, "PRONOUN"), (2, "DETERMINER ADJECTIVE PERSON"),
                (2, "DETERMINER ANIMAL"), (1, "DETERMINER ADJECTIVE ANIMAL"), (1, "the PEOPLE")],
    "OBJECT": [(3, "DETERMINER THING"), (3, "DETERMINER ADJECTIVE THING"), (2, "NUMBER PLURAL"), (1, "the PERSON"),
               (1, "the ANIMAL"), (1, "every THING"), (1, "the PLURAL of NAME")],
    "WHERE": [(3, "PREPOSITION the PLACE"), (1, "PREPOSITION DETERMINER ADJECTIVE PLACE"), (1, "near NAME")],
    "WAS": [(3, "was"), (1, "is")],
    "DETERMINER": [(6, "the"), (2, "a"), (2, "my"), (1, "your"), (1, "his"), (1, "her"), (1, "our"), (1, "this"),
                   (1, "that"), (1, "another")],
}  # fmt: skip

CLASSES: dict[str, str] = {
    "PRONOUN": "she he they we somebody everyone nobody",
    "MODAL": "will can should could must would might cannot",
    "QUESTION": "did will can should why-did how-did when-will could",
    "PREPOSITION": "in near behind from at beside inside through across around beyond under above outside toward",
    "CONJUNCTION": "and but while because before after until",
    "DEGREE": "very quite rather almost too hardly really surprisingly",
    "TIME": "today yesterday tomorrow tonight later sometimes last-week on-monday this-morning in-april next-year "
            "on-friday suddenly once every-summer at-midnight on-sunday in-october last-winter on-thursday finally "
            "every-autumn in-january on-tuesday at-noon in-december on-saturday in-february",
    "NUMBER": "two three five ten seven six four twenty twelve nine eight eleven thirty fifteen forty many fifty "
              "several thirteen sixty fourteen ninety sixteen seventy eighteen nineteen seventeen eighty some few",
    "NAME": "anna peter maria thomas helen david laura martin clara simon julia robert emma victor nora oscar sofia "
            "daniel irene felix alice hugo rosa edgar lucy bruno vera conrad ella marcus olga stefan ida walter paula "
            "leon miriam arthur greta samuel dora philip agnes ralph judith albert sylvia norman esther gilbert "
            "beatrice leonard matilda cornelius penelope",
    "PERSON": "teacher doctor farmer child woman man neighbour driver student baker painter singer captain sister "
              "brother uncle lawyer guard sailor writer hunter miller nurse cook merchant tailor soldier gardener "
              "mayor carpenter engineer dancer fisherman stranger shepherd butcher plumber pilot judge poet weaver "
              "librarian banker blacksmith professor waiter widow magician inspector violinist apprentice",
    "PEOPLE": "children women men teachers farmers neighbours students drivers sailors soldiers singers twins doctors "
              "tourists villagers workers hunters dancers pupils merchants painters gardeners",
    "ANIMAL": "dog cat horse bird fox cow rabbit wolf sheep goat mouse duck bear owl donkey crow hen squirrel frog "
              "pony eagle turtle hedgehog parrot beaver camel spider falcon otter lizard badger sparrow",
    "PLACE": "house garden river market station village school forest kitchen bridge mountain street office harbour "
             "church field castle lake museum factory library valley island meadow theatre airport cellar barn "
             "hospital orchard palace tower canyon desert bakery stadium cottage tunnel chapel prison lighthouse "
             "courtyard fountain vineyard monastery pavilion swamp quarry",
    "ADJECTIVE": "old small new big young red good long white little green heavy quiet black strange happy cold blue "
                 "tall dark warm famous clever broken yellow tired empty golden short wooden gentle angry narrow "
                 "bright lazy rich brave dusty silver careful hungry deep soft lonely curious round silent thin "
                 "purple honest frozen proud ancient rusty noisy hidden nervous orange polite bitter hollow crooked "
                 "friendly foreign humble striped gloomy sticky stubborn elegant fragile modest cheerful peculiar "
                 "shallow generous slippery restless transparent magnificent wealthy wicked velvet muddy spotted "
                 "marble leather mysterious",
    "ADVERB": "slowly quickly again quietly together carefully soon here loudly outside early gladly home everywhere "
              "alone gently badly twice happily anyway politely patiently silently proudly nearby eagerly bravely "
              "calmly downstairs abroad angrily rarely upstairs nervously sideways secretly barefoot",
    "TRANSITIVE": "carry open paint want clean follow watch repair return need remember visit cover finish call push "
                  "borrow deliver help pull answer collect wash lift discover order move count inspire load examine "
                  "mention measure promise notice polish attack replace protect describe admire inspect destroy "
                  "gather ignore recommend surround recognise decorate exchange hammer balance overlook sharpen "
                  "photograph",
    "INTRANSITIVE": "walk wait laugh dance work listen jump sail play sneeze climb arrive hurry march rest whisper "
                    "shout wander return disappear cough tremble stumble hesitate vanish complain gallop apologise "
                    "surrender",
    "THING": "book table letter box door window car chair cup lamp boat key basket bottle picture stone coat clock "
             "ladder hat wagon bag mirror blanket hammer ring candle pencil barrel apple carpet bell shirt ticket "
             "bucket guitar piano needle bicycle drum potato engine button ribbon bowl map jacket wheel pillow parcel "
             "ship kettle anchor orange coin shovel bench trumpet rocket cabinet magnet flag violin tractor sandwich "
             "cushion lantern padlock suitcase scarecrow hourglass necklace pumpkin envelope bracelet curtain "
             "telescope cucumber umbrella saddle compass feather crystal medal machine diamond helmet puppet "
             "sculpture pistol turnip microscope calendar wardrobe newspaper teapot chimney sandal thermometer trophy "
             "accordion manuscript chandelier harmonica bagpipe parachute wheelbarrow typewriter",
}  # fmt: skip

SPLIT_SHARES = {"train": 8, "dev-clean": 1, "dev-other": 1, "test-clean": 3, "test-other": 3}


def past(verb: str) -> str:
    return verb[:-1] + "ied" if verb.endswith("ry") else verb + ("d" if verb.endswith("e") else "ed")


def progressive(verb: str) -> str:
    return (verb[:-1] if verb.endswith("e") else verb) + "ing"


def plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2] not in "aeou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("ch", "sh", "ss", "x", "s", "potato")) else "s")


def inflected() -> dict[str, list[str]]:
    """Every word class, those made by inflection included; a hyphen joins the words of one entry."""
    words = {name: listed.split() for name, listed in CLASSES.items()}
    for verb in ("TRANSITIVE", "INTRANSITIVE"):
        words[verb + "_ED"] = [past(word) for word in words[verb]]
        words[verb + "_ING"] = [progressive(word) for word in words[verb]]
    words["PLURAL"] = [plural(word) for word in words["THING"]]
    return words


class Grammar:
    """Draws sentences of at most `MAX_WORDS` words; a word's weight in its class is (rank + SHIFT)^-EXPONENT."""

    def __init__(self) -> None:
        self.words = inflected()
        self.weights = {name: zipf(len(words)) for name, words in self.words.items()}
        self.rules = {name: ([text.split() for _, text in rule], np.cumsum([weight for weight, _ in rule]))
                      for name, rule in RULES.items()}  # fmt: skip
        self.content = [RULES, CLASSES, MAX_WORDS]

    @property
    def vocabulary(self) -> set[str]:
        """All words that a sentence may hold."""
        classes = {word for words in self.words.values() for entry in words for word in entry.split("-")}
        literals = {word for choices, _ in self.rules.values() for choice in choices for word in choice}
        return classes | {word for word in literals if word.islower()}

    def expand(self, symbol: str, random: np.random.Generator) -> list[str]:
        if symbol in self.rules:
            choices, cumulated = self.rules[symbol]
            choice = choices[np.searchsorted(cumulated, random.random() * cumulated[-1], side="right")]
            return [word for part in choice for word in self.expand(part, random)]
        if symbol in self.words:
            cumulated = self.weights[symbol]
            return self.words[symbol][np.searchsorted(cumulated, random.random(), side="right")].split("-")
        return [symbol]

    def sentence(self, random: np.random.Generator) -> str:
        while len(words := self.expand("SENTENCE", random)) > MAX_WORDS:
            pass
        return " ".join(articles(words))


def zipf(count: int) -> np.ndarray:
    """Cumulated probabilities of ranks 0 to count - 1."""
    weights = (np.arange(count) + SHIFT) ** -EXPONENT
    cumulated = np.cumsum(weights / weights.sum())
    cumulated[-1] = 1.0
    return cumulated


def articles(words: list[str]) -> list[str]:
    pairs = zip(words, [*words[1:], ""], strict=True)
    return ["an" if word == "a" and after[:1] in tuple("aeiou") else word for word, after in pairs]


def owner(sentence: str) -> str:
    """The one split that may hold `sentence`: a function of its text, so that no split shares a sentence."""
    place = zlib.crc32(sentence.encode()) % sum(SPLIT_SHARES.values())
    for split, share in SPLIT_SHARES.items():
        place -= share
        if place < 0:
            return split
    raise AssertionError


def languages() -> list[str]:
    """The languages beside English."""
    return sorted(path.stem for path in LEXICONS.glob("*.txt"))


class Lexicon:
    """Sentences without grammar: words of a file of `LEXICONS`, the first ones most often, none twice in a row.

    Raises ValueError for a language that has no file.
    """

    def __init__(self, language: str) -> None:
        if language not in languages():
            raise ValueError(f"no words of language {language!r}: choose from {', '.join(languages())}")
        self.words = (LEXICONS / f"{language}.txt").read_text(encoding="utf-8").split()
        self.content = [self.words, SHORTEST, LONGEST]
        self.cumulated = zipf(len(self.words))

    def sentence(self, random: np.random.Generator) -> str:
        words: list[str] = []
        length = random.integers(SHORTEST, LONGEST + 1)
        while len(words) < length:
            word = self.words[np.searchsorted(self.cumulated, random.random(), side="right")]
            words += [word] * (words[-1:] != [word])
        return " ".join(words)


def source(language: str) -> Grammar | Lexicon:
    """What sentences of a language are drawn from; its `content` is a JSON value that changes when they would."""
    return Grammar() if language == "en" else Lexicon(language)


def sentences(split: str, count: int, seed: int, language: str = "en") -> Iterator[str]:
    """`count` different sentences of `split`, a function of (language, split, seed); a larger count continues a
    smaller one."""
    text = source(language)
    name = split if language == "en" else f"{language}/{split}"
    random, seen = np.random.default_rng([seed, zlib.crc32(name.encode())]), set[str]()
    while len(seen) < count:
        sentence = text.sentence(random)
        if owner(sentence) == split and sentence not in seen:
            seen.add(sentence)
            yield sentence
