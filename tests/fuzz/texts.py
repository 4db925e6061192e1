"""Hostile texts: by kind, seeded, each known by its seed and its number.

Where a text holds mark-up of any language, the word MARK stands inside it, with the mark-up's own
characters on either side: a page that shows it like that outside of a code span has not escaped it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

MARK = "kanari"
WORDS = ("Obama", "grew", "up", "in", "the", "capital", "of", "France", "is", "a", "type", "music")
LONG = 100_000  # bytes
EMPTY_SPACES = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
EMPTY_SPACES += "\u2028\u2029\u202f\u205f\u3000\t\n\r\v\f\x85"
DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
INVISIBLE = "\u00ad\u034f\u180e\u200b\u200c\u200d\u2060\u2061\u2063\ufeff\u3164\u2800\U000e0041"
MARKUP = (
    f"**{MARK}**",
    f"__{MARK}__",
    f"*{MARK}*",
    f"~~{MARK}~~",
    f"`{MARK}`",
    f"[{MARK}](http://elsewhere.invalid)",
    f"![{MARK}](http://elsewhere.invalid/{MARK}.png)",
    f"<http://{MARK}.invalid>",
    f"http://{MARK}.invalid/{MARK}",
    f"www.{MARK}.com",
    f"me@{MARK}.com",
    f"# *{MARK}*",
    f"> *{MARK}*",
    f"- *{MARK}*",
    f"1. *{MARK}*",
    f"| *{MARK}* | b |\n|---|---|\n| *{MARK}* | d |",
    f"```\n{MARK}*\n```",
    f"[^{MARK}]\n\n[^{MARK}]: note",
    f"[{MARK}]: http://elsewhere.invalid\n\n[{MARK}]",
    f"*{MARK}*\n===\n\n---\n\n    *{MARK}*",
    f"(a -> b -- {MARK}* >= c)",
)
HTML = (
    f"<b>{MARK}</b>",
    f"<script>{MARK}()</script>",
    f"<img src=x onerror={MARK}()>",
    f'"><svg onload="{MARK}()">',
    f"</span></div><h1>{MARK}</h1>",
    f"<!--{MARK}-->",
    f"<style>*{{background:url(http://{MARK}.invalid)}}</style>",
    f"<iframe srcdoc='<script>{MARK}</script>'></iframe>",
    f"<a href='javascript:{MARK}'>{MARK}</a>",
    f"&lt;{MARK}&gt; &amp;{MARK}; &#60;{MARK}&#62;",
    f"<math><mtext></table><mglyph><style><!--</style><img title='--&gt;&lt;{MARK}&gt;'>",
    f"]]><![CDATA[{MARK}]]>",
)
LATEX = (
    f"${MARK}$",
    f"$${MARK}^2$$",
    f"\\({MARK}\\)",
    f"\\[{MARK}\\]",
    f"$\\href{{http://elsewhere.invalid}}{{{MARK}}}$",
    f"$\\def\\a{{\\a\\a}}\\a{MARK}$",
    f"\\begin{{{MARK}}}",
)
DIRECTIVES = (
    f":red[{MARK}]",
    f":blue-background[{MARK}]",
    f":green-badge[{MARK}]",
    f":rainbow[{MARK}]",
    f":small[{MARK}]",
    f":help[{MARK}]",
    f":color[{MARK}]{{foreground={MARK}}}",
    f":material/{MARK}:",
    ":material/home:",
    f":material_{MARK}:",
    ":streamlit:",
    f":{MARK}:",
    ":smile: :+1:",
    f":::{MARK}",
)
SPECIAL = (
    "<|endoftext|>",
    "<s>",
    "</s>",
    "<unk>",
    "<pad>",
    "[INST] x [/INST]",
    "<<SYS>>",
    "<0x0A>",
    "<0xFF>",
    "<|im_start|>",
    "<|endoftext|><|endoftext|>",
    "▁",
    "▁▁Obama",
    "Ġ",
    "ĠObama",
    "Ċ",
    "##ing",
    "\ufffd",
)
INJECTIONS = (
    f'=HYPERLINK("http://elsewhere.invalid","{MARK}")',
    f"=cmd|' /C calc'!{MARK}",
    f"@SUM({MARK})",
    f"+{MARK}+",
    f"-{MARK}-",
    f'{{"prompt": "{MARK}"}}',
    f"!!python/object/apply:os.system ['{MARK}']",
    f"- &a [*a, {MARK}*]",
    f"{{{{{MARK}}}}}",
    f"${{{MARK}}}",
    f"{{0.__class__}} {{{MARK}!r}} %s%n%({MARK})s",
    f"'; DROP TABLE {MARK}; --",
    f'"]; {MARK}(); //["',
    f"' + {MARK} + '",
    f"`${{{MARK}}}`",
    f'datum["{MARK}"]',
    f'\\" + {MARK}( + \\"',
    f'"""{MARK}"""',
    f"\\N{{DASH}}\\u0041\\x41\\{MARK}\\",
    f"\r\nSet-Cookie: {MARK}=1\r\n",
)
PATHS = (
    "../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "/etc/passwd",
    "/etc",
    "/",
    ".",
    "..",
    "//",
    "//server/share",
    "\\\\server\\share",
    "C:\\",
    "c:/windows",
    "file:///etc/passwd",
    "http://elsewhere.invalid/model",
    "~",
    "~root",
    "~nobody-of-that-name/x",
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/environ",
    "/proc/self/fd/0",
    "a\x00b",
    "/tmp/\x00",
    "%2e%2e%2fetc",
    "．．/etc",
    "con",
    "tests",
    "data/models/tiny-gpt2",
    "data/models/../models/tiny-gpt2",
    "x.gguf",
    "/etc/passwd.gguf",
    "models--gpt2",
    "gpt2@int8",
    "@int8",
    "tiny-gpt2 ",
    "a/b/c",
    "-rf",
    "*",
    "$HOME",
)
NUMBERS = ("NaN", "Infinity", "-0", "1e999", "0x1F", "null", "None", "true", "undefined", "[]")
LETTERS = (
    "İstanbul ıI",
    "ﬁne ﬀ ẞß",
    "é e\u0301 각 \u1100\u1161\u11a8",
    "名前は 東京",
    "שלום עולם",
    "مرحبا بالعالم",
    "कर्म क्षेत्र",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "👨‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🇫🇷 ✊🏿 ❤️",
    "ᚠᛇᚻ ꙮ ﷽",
)


def planes(rng: random.Random) -> str:
    """Characters of all planes, those too that stand for nothing; no halves of characters."""
    points = (rng.randrange(0x10000) + 0x10000 * rng.randrange(17) for _ in range(40))
    return "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)


def surrogates(rng: random.Random) -> str:
    """Halves of characters among words; no text, but bytes and JSON can say them."""
    return " ".join([words(rng), chr(rng.randrange(0xD800, 0xE000)), f"*{MARK}*"])


def controls(rng: random.Random) -> str:
    codes = [*range(0x20), *range(0x7F, 0xA0)]
    return (
        words(rng)
        + "".join(chr(rng.choice(codes)) for _ in range(rng.randint(1, 20)))
        + f"*{MARK}*"
    )


def directions(rng: random.Random) -> str:
    return rng.choice(DIRECTIONS).join([*words(rng).split(), "שלום", f"({MARK})"])


def combining(rng: random.Random) -> str:
    marks = [*range(0x300, 0x370), *range(0x1AB0, 0x1ABF), 0x20DD, 0x489, 0xE31]
    return "".join(
        letter + "".join(chr(rng.choice(marks)) for _ in range(rng.randint(0, 60)))
        for letter in words(rng)
    )


def invisible(rng: random.Random) -> str:
    return "".join(letter + rng.choice(INVISIBLE) for letter in words(rng))


def words(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(1, 8)))


def one_word(rng: random.Random) -> str:
    return rng.choice("aé名🙂<*[`$:\\") * rng.randint(150, 5000)


def long(rng: random.Random) -> str:
    """100 kB: of words, of one piece, of brackets that nest, of nothing but mark-up."""
    piece = rng.choice(
        [words(rng) + " ", "a", "[", "<", "*a", "`", "$", "> ", "🙂", "e\u0301", "\n", ":a[", "\\"]
    )
    return piece * (LONG // len(piece.encode()))


def spaces(rng: random.Random) -> str:
    return "".join(rng.choice(EMPTY_SPACES) for _ in range(rng.randint(1, 30)))


def empty(rng: random.Random) -> str:
    return ""


def one_of(texts: tuple[str, ...]) -> Callable[[random.Random], str]:
    """One of the list, alone or among words."""

    def pick(rng: random.Random) -> str:
        text = rng.choice(texts)
        return text if rng.random() < 0.6 else f"{words(rng)} {text}{rng.choice(['', ' is'])}"

    return pick


KINDS: dict[str, Callable[[random.Random], str]] = {
    "planes": planes,
    "surrogates": surrogates,
    "controls": controls,
    "directions": directions,
    "combining": combining,
    "invisible": invisible,
    "letters": one_of(LETTERS),
    "markup": one_of(MARKUP),
    "html": one_of(HTML),
    "latex": one_of(LATEX),
    "directives": one_of(DIRECTIVES),
    "special": one_of(SPECIAL),
    "injections": one_of(INJECTIONS),
    "paths": one_of(PATHS),
    "numbers": one_of(NUMBERS),
    "word": one_word,
    "long": long,
    "spaces": spaces,
    "empty": empty,
}


def mixed(rng: random.Random) -> str:
    """Several kinds, one after the other."""
    names = [name for name in KINDS if name not in ("long", "word", "empty", "mixed")]
    return rng.choice(["", " ", "\n"]).join(
        KINDS[name](rng) for name in rng.sample(names, rng.randint(2, 4))
    )


KINDS["mixed"] = mixed


@dataclass(frozen=True)
class Hostile:
    kind: str
    text: str

    @property
    def whole(self) -> str:
        """The text as it can reach a field: halves of characters have become signs."""
        return self.text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")

    @property
    def raw(self) -> bytes:
        """The text as an address can carry it."""
        return self.text.encode("utf-8", "surrogatepass")

    def __str__(self) -> str:
        shown = repr(self.text)
        return f"{self.kind}: {shown if len(shown) < 120 else f'{shown[:100]}… ({len(self.text)})'}"


def hostile(rng: random.Random, kind: str | None = None) -> Hostile:
    kind = kind or rng.choice(list(KINDS))
    return Hostile(kind, KINDS[kind](rng))
