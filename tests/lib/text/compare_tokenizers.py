#!/usr/bin/env python3
"""Compares our tokenizer with PyPI `tokenizers`: ids and decoded text must be equal.

    compare_tokenizers.py TOOL [--gguf MODEL.gguf] [--sweep] [--time]

TOOL is tokenizer_tool.cpp, built. The texts are made deterministically: over 2 MB of prose, code, many
scripts, emoji, control characters, combining marks, spellings of special tokens and runs of one class of
characters up to 300 KB. The tokenizers are those of tests/data/tokenizers, the families' pre-tokenizers around
their vocabularies and, with --gguf or MICA_DEMO_GGUF, the one that the GGUF file describes. --sweep takes every
code point instead, alone and in several surroundings; --time prints rates.
Exit status 77: `tokenizers` is not installed.
"""
import argparse
import functools
import itertools
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

try:
    import tokenizers
except ImportError:
    print("compare-tokenizers: skipped, PyPI tokenizers is not installed")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "data" / "tokenizers"
MEGABYTE = 1_000_000

SCRIPTS = [
    "The quick brown fox doesn't jump; it's lazy, and we'll see what they've done. I'M HERE, YOU'RE NOT.",
    "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg. Ça déjà vu, naïve façade, Œuvre.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Љубазни фењерџија.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ὦ ξεῖν’, ἀγγέλλειν Λακεδαιμονίοις.",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ١٢٣٤٥. گچ پژ ۱۲۳",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה. שָׁלוֹם עֲלֵיכֶם",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश। १२३४",
    "বর্ষামুখর দিন শেষে, ঊর্দ্ধপানে চেয়ে যখন আষাঢ়ে গল্প শোনাতে ১২৩",
    "ਪੰਜਾਬੀ ਵਿੱਚ ਲਿਖਤ। ગુજરાતી લખાણ અહીં છે. ଓଡ଼ିଆ ଲେଖା",
    "யாமறிந்த மொழிகளிலே தமிழ்மொழி போல் இனிதாவது எங்கும் காணோம்",
    "తెలుగు భాష తీయనైనది. ಕನ್ನಡ ಭಾಷೆ ಸುಂದರವಾಗಿದೆ. മലയാളം എഴുത്ത്. සිංහල අකුරු",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า ๑๒๓ ພາສາລາວ ໑໒ ភាសាខ្មែរ ១២ မြန်မာစာ ၁၂",
    "བོད་ཡིག་ ༡༢༣ ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ\u180e᠎ᠠ ქართული ენა Հայերեն լեզու",
    "አማርኛ ፊደል ፩፪፫ ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ ᐃᓄᒃᑎᑐᑦ ⵜⴰⵎⴰⵣⵉⵖⵜ",
    "天地玄黃宇宙洪荒，日月盈昃。㐀㐁𠀀𠀁𫝀 〇一二三 ㊀㊁ ①②③ Ⅷ ½",
    "いろはにほへと ちりぬるを カタカナ ｶﾀｶﾅ ﾊﾟ が が ゟ ・ー「」",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. 각",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 𐍈𐌰𐌹 𒀀𒁀 𓀀𓀁 𞤀𞤣𞤤𞤢𞤥 𐐀𐐨 ꦲꦏ꧀ꦱꦫ 𑄌𑄋𑄴𑄟𑄳𑄦",
    "‘single’ “double” – — … † ‡ • ™ © ® ° ± × ÷ ∑ ∫ √ ∞ ≈ ≠ ⟨x⟩ ⟦⟧ €£¥₹₿",
    "'ſ 'S 'K 'll 'LL 'Ll ’s ’t ʼn ŉ ǰ ß ẞ ﬁ ﬀ ﬆ İ ı K Å Ω",
]
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "1️⃣", "☕️", "❤️‍🔥", "🧑🏿‍🚀", "🫠", "\u200d", "\ufe0f", "🏴\U000e0067\U000e0062\U000e007f"]
CODE = """
def f(x: int) -> str:\n\treturn f"{x!r:>{10}}"  # trailing\n\n\nclass A(B, metaclass=C):\n    pass\r\n
#include <stdio.h>\r\nint main(void) { printf("%d\\n", 0x1F << 3); return 0; }\n\t\t\t/* ***** ----- ===== */
SELECT * FROM t WHERE a >= 10 AND b != 'it''s' -- done\n<div class="x">&nbsp;&amp;</div>\n\n\n  \n \t \n
{"a":[1,2.5e-10,null,true],"b":{"c":"\\u00e9"}}   https://example.org/path?q=1&r=2#frag   user@host:~$ ls -la
"""
SPACES = " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u180e\u2000\u2003\u2007\u200a\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
MARKS = "\u0300\u0301\u0308\u0316\u0327\u0328\u0334\u0345\u05b0\u05bc\u064b\u0651\u093c\u0e38\u0e48\u3099\u309a\u0f71\u0f72\u1dc4\u20d0\U0001d165\u1df6\u0898\u1abf\U00016ff0"
BASES = "aeoAcnsz'1 \u00e9\u0915\u0928\u304b\u30cf\uac00\u1100\u1161\u11a8\u05e9\u0627\u4e00\u0958\u212b\u2126\ufb1f\U0001d15e\U00011935"
WORDS = "word cafe\u0301 caf\u00e9 <tab\t> <\u00e9> <pad> <mask> <tool_call> <repo_name>".split(" ")


def prose(rng, size):
    """Files of the system if there are any, else sentences."""
    texts = []
    for folder in ("/usr/share/common-licenses", "/usr/share/doc"):
        for path in sorted(pathlib.Path(folder).glob("**/*"))[:400]:
            if path.is_file() and not path.is_symlink() and path.suffix not in (".gz", ".pdf", ".png"):
                texts.append(path.read_bytes()[:60_000].decode("utf-8", "ignore"))
            if sum(map(len, texts)) > size:
                return "".join(texts)[:size]
    words = " ".join(SCRIPTS[:2]).split()
    while sum(map(len, texts)) < size:
        texts.append(" ".join(rng.choices(words, k=14)) + rng.choice([".\n", ". ", "!\n\n", ", "]))
    return "".join(texts)[:size]


def mixed(rng, size, special):
    """Short pieces of everything, in any order, glued with and without spaces."""
    def code_points():
        low, high = rng.choice([(0x20, 0x7f), (0x80, 0x800), (0x800, 0xd800), (0xe000, 0x10000),
                                (0x10000, 0x20000), (0x20000, 0x33480), (0xe0000, 0x110000)])
        return "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 12)))

    makers = [
        lambda: rng.choice(SCRIPTS), lambda: " ".join(rng.choices(rng.choice(SCRIPTS).split(), k=5)),
        lambda: rng.choice(CODE.splitlines(True)), lambda: rng.choice(EMOJI) * rng.randrange(1, 4),
        lambda: "".join(rng.choices(SPACES, k=rng.randrange(1, 9))),
        lambda: "".join(chr(rng.randrange(0, 0x20)) for _ in range(rng.randrange(1, 6))),
        lambda: rng.choice(BASES) + "".join(rng.choices(MARKS, k=rng.randrange(1, 6))),
        lambda: str(rng.randrange(10 ** rng.randrange(1, 18))), code_points,
        lambda: rng.choice(special + WORDS), lambda: rng.choice(special + WORDS)[: rng.randrange(1, 9)],
        lambda: rng.choice("aA1 .\n\t\u3042\u4e00\u0301!") * rng.randrange(1, 40),
        lambda: "'" + rng.choice(["s", "S", "ſ", "t", "re", "VE", "Ll", "lL", "d", "M", "x", "n"]),
    ]
    parts, length = [], 0
    while length < size:
        parts.append(rng.choice(makers)() + rng.choice(["", "", " ", "\n", "  "]))
        length += len(parts[-1])
    return "".join(parts)


def runs():
    """Long runs of one class."""
    for unit in ("a", "\n", "1", "!", "\u4e2d", "\u0301", "ab ", "\t", "\u00e9", "\U0001f600", " \n", "a1", "<|"):
        yield unit * (60_000 // len(unit.encode()))
    for unit in ("x", " ", "=", "\u0939"):
        yield "begin" + unit * (300_000 // len(unit.encode())) + "end"
    yield "e" + "\u0301\u0316\u0327" * 60_000
    yield "".join(random.Random(5).choices("abcdefghij", k=300_000))


def texts(special):
    """2 MB, a third of them prose."""
    return _texts(tuple(special))


@functools.lru_cache(maxsize=2)  # families made from one tokenizer have the same
def _texts(special):
    return tuple(make_texts(list(special)))


def make_texts(special):
    rng = random.Random(7)
    yield ""
    yield from (" ", "\n", "a", "  a", "a  ", "\u0301", "'s", " 's")
    yield from SCRIPTS + EMOJI + [CODE] + special + [f"a {s} b{s}{s}  \n c" for s in special + WORDS]
    body = prose(rng, 600_000)
    yield body
    for start in range(0, len(body) // 4, 9973):
        yield body[start:start + 500]
    for size in [200] * 300 + [10_000] * 20 + [540_000]:
        yield mixed(rng, size, special)


def point_blocks(*ranges):
    points = [chr(c) for c in itertools.chain(*ranges) if not 0xD800 <= c < 0xE000]
    return (points[start:start + 4096] for start in range(0, len(points), 4096))


def point_texts():
    """Every code point alone, and between letters."""
    for block in point_blocks(range(0x110000)):
        yield from block
        yield "".join(f"a{p}b " for p in block)


def sweep_texts():
    """Every code point of the planes that hold characters, in the surroundings that patterns look at."""
    for block in point_blocks(range(0x40000), range(0xE0000, 0xE1000)):
        for glue in ("a{}a", " {}{} ", "{}\n", "1{}1", "!{}", "'{}x", "e\u0316{}\u0302", "x\u0345{}\u0334"):
            yield "".join(glue.format(p, p) for p in block)


def gguf_tokenizer(path, folder):
    """tokenizer.json of a GGUF file of the kind gpt2/smollm."""
    import gguf
    fields = gguf.GGUFReader(path).fields
    strings = lambda key: [bytes(fields[key].parts[i]).decode() for i in fields[key].data]
    tokens, kinds = strings("tokenizer.ggml.tokens"), fields["tokenizer.ggml.token_type"]
    kinds = [int(kinds.parts[i][0]) for i in kinds.data]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    state = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True} for i, t in enumerate(tokens) if kinds[i] == 3],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence",
                          "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {t: i for i, t in enumerate(tokens)}, "merges": strings("tokenizer.ggml.merges")}}
    file = pathlib.Path(folder) / "gguf.json"
    file.write_text(json.dumps(state, ensure_ascii=False))
    return file


def run_tool(tool, arguments, data):
    result = subprocess.run([tool, *map(str, arguments)], input=data, stdout=subprocess.PIPE, check=True)
    return result.stdout


def encode_all(tool, path, samples, *options):
    data = b"".join(b"%d\n%s" % (len(s.encode()), s.encode()) for s in samples)
    lines = run_tool(tool, ["batch", path, *options], data).decode().split("\n")[:-1]
    return [[int(i) for i in line.split()] for line in lines]


def first_difference(tokenizer, sample, ours, theirs):
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    near = tokenizer.decode(theirs[max(0, at - 4):at + 4], skip_special_tokens=False)
    return (f"{len(ours)} and {len(theirs)} tokens, first difference at {at} near {near!r}: "
            f"{ours[at:at + 6]} expected {theirs[at:at + 6]}; text begins {sample[:60]!r}")


def compare_ids(tool, path, tokenizer, samples, special_tokens):
    """The number of texts whose ids differ, and all ids."""
    ours = encode_all(tool, path, samples, *([] if special_tokens else ["no-special"]))
    theirs = tokenizer.encode_batch_fast(samples, add_special_tokens=special_tokens)
    failures = 0
    for sample, mine, expected in zip(samples, ours, theirs, strict=True):
        if mine != expected.ids:
            failures += 1
            print(f"{path.name}: {first_difference(tokenizer, sample, mine, expected.ids)}")
    return failures, [i for line in ours for i in line]


def compare(tool, path, make_samples):
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    special = sorted(t.content for t in tokenizer.get_added_tokens_decoder().values())
    samples = list(make_samples(special))
    failures, ids = compare_ids(tool, path, tokenizer, samples, True)
    short = [s for s in samples if len(s) < 1000][:500]
    failures += compare_ids(tool, path, tokenizer, short, False)[0]
    rng = random.Random(3)
    loose = [rng.randrange(tokenizer.get_vocab_size()) for _ in range(20_000)]  # bytes that are no text
    for some in (ids[:200_000] + ids[-200_000:], loose):
        for skip in (False, True):
            mine = run_tool(tool, ["decode", path] + ["skip-special"] * skip,
                            " ".join(map(str, some)).encode())
            if mine.decode() != tokenizer.decode(some, skip_special_tokens=skip):
                failures += 1
                print(f"{path.name}: decoded text differs, skip_special_tokens={skip}")
    size = sum(len(s.encode()) for s in samples)
    print(f"{path.name}: {len(samples)} texts, {size} bytes, {len(ids)} tokens, {failures} differences")
    return failures


def batches(samples):
    """Lists of texts of a million characters or a little more."""
    batch, size = [], 0
    for sample in samples:
        batch.append(sample)
        size += len(sample) + 10
        if size > 1_000_000:
            yield batch
            batch, size = [], 0
    yield batch


def sweep(tool, path, samples):
    """As compare, for more texts than fit into memory."""
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    failures = tokens = 0
    for some in batches(samples):
        failed, ids = compare_ids(tool, path, tokenizer, some, True)
        failures += failed
        tokens += len(ids)
    print(f"{path.name}: every code point, {tokens} tokens, {failures} differences", flush=True)
    return failures


def variants(folder):
    """tokenizer.json files with every option that is read, made from the one of gpt2."""
    base = json.loads((DATA / "gpt2.json").read_text())

    def write(name, change):
        state = json.loads(json.dumps(base))
        change(state)
        path = pathlib.Path(folder) / f"{name}.json"
        path.write_text(json.dumps(state))
        return path

    def splits(*steps, prefix=False, use_regex=False):
        last = {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}
        return lambda state: state.update(
            pre_tokenizer={"type": "Sequence", "pretokenizers": [*steps, last]})

    def split(pattern, behavior, invert):
        return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}

    patterns = [{"String": " "}, {"String": "aa"}, {"String": ".*"}, {"Regex": r"\s+"}, {"Regex": "[aeiou]+"},
                {"Regex": r"\p{Lu}?"}, {"Regex": r"(?=[A-Z])|\d{2}"}, {"Regex": r"[^\p{L}\p{N}\-]+|\S{,3}?"}]
    behaviors = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
    for p, pattern in enumerate(patterns):
        for behavior in behaviors:
            for invert in (False, True):
                yield write(f"split-{p}-{behavior}-{invert}", splits(split(pattern, behavior, invert)))
    for prefix in (False, True):
        for individual in (False, True):
            digits = {"type": "Digits", "individual_digits": individual}
            yield write(f"digits-{individual}-{prefix}", splits(digits, prefix=prefix, use_regex=True))
    classes = ["L", "Lu", "Ll", "Lt", "Lm", "Lo", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Pi",
               "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "M", "Me", "Han"]
    for name in classes:
        yield write(f"class-{name}", splits(split({"Regex": rf"\p{{{name}}}+|\P{{{name}}}[^\p{{{name}}}]"},
                                                  "Isolated", False)))
    patterns = [r"(?i:[sdmt]|ll|ve|re|'k)+", r"[\p{L}\p{M}]++|\D\S", r"[\s\S]{3}", r"[^\S\n]+",
                r"(?<=a)b|(?<!\d)\d(?!\d)|(?>x+)y", r"[\u4e00-\u9fa5一-龥\-_.]+|\u00e9", r"(a|b)*?c|.{5}"]
    for p, pattern in enumerate(patterns):
        yield write(f"pattern-{p}", splits(split({"Regex": pattern}, "Isolated", False)))

    def without_bytes(**options):
        def change(state):
            model = state["model"]
            for key in ("e", "Ġ", "Ã"):
                del model["vocab"][key]
            model["merges"] = [m for m in model["merges"] if not {"e", "Ġ", "Ã"} & set(m)]
            model["vocab"] = {t: i for i, t in enumerate(sorted(model["vocab"], key=model["vocab"].get))}
            state["added_tokens"] = []
            model.update(options)
        return change

    yield write("no-unknown", without_bytes())
    yield write("unknown", without_bytes(unk_token="the"))
    yield write("fused-unknown", without_bytes(unk_token="the", fuse_unk=True))
    yield write("old-merges", lambda state: state["model"].update(
        merges=["#version: 0.2"] + [" ".join(m) for m in state["model"]["merges"]]))
    yield write("repeated-merges", lambda state: state["model"].update(
        merges=state["model"]["merges"] + state["model"]["merges"][:200]))

    def flags(seed):
        def change(state):
            rng = random.Random(seed)
            state["normalizer"] = rng.choice([None, {"type": "NFC"}, {"type": "Sequence", "normalizers": [{"type": "NFC"}]}])
            contents = ["<a>", "<a>b", "b<a", "aa", "aab", " x", "x ", "\n", "é", "e\u0301!", "<", "1", "Å"]
            size = len(state["model"]["vocab"])
            known = state["model"]["vocab"]
            state["added_tokens"], next_id = [], size
            for content in rng.sample(contents, 8):
                if content not in known:
                    next_id += 1
                state["added_tokens"].append(
                    {"id": known.get(content, next_id - 1), "content": content}
                    | {k: rng.random() < 0.4 for k in ("single_word", "lstrip", "rstrip", "normalized", "special")})
                if content[0] in " \n":  # tokenizers panics when another token takes all of its space
                    state["added_tokens"][-1]["lstrip"] = False
        return change

    for seed in range(30):
        yield write(f"added-{seed}", flags(seed))

    def templates(state):
        piece = lambda t: {"SpecialToken": {"id": t, "type_id": 0}}
        text = {"Sequence": {"id": "A", "type_id": 0}}
        special = {t: {"id": t, "ids": ids, "tokens": [t] * len(ids)} for t, ids in (("u", [5]), ("v", [6, 7]))}
        template = lambda *pieces: {"type": "TemplateProcessing", "single": list(pieces),
                                    "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": special}
        state["post_processor"] = {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            template(piece("v"), piece("u"), text, piece("v"))]}

    yield write("templates", templates)


O200K_WORD = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+SUFFIX"
              r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*SUFFIX")
PATTERNS = {  # of the families' tokenizer.json files; those of Llama 3 (SmolLM3, Phi-4, OLMo 2) and Qwen 2 are committed
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
              r"|\s*[\r\n]|\s+(?!\S)|\s+",
    "phi4-mini": O200K_WORD.replace("SUFFIX", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?")
                 + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "tekken": O200K_WORD.replace("SUFFIX", "")
              + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen3.5": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
               r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}

DEEPSEEK_PATTERNS = (
    r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def families(folder):
    """The other families' pre-tokenizers around the vocabularies of the committed files."""
    def read(name):
        return json.loads((DATA / f"{name}.json").read_text())

    def write(name, state):
        path = pathlib.Path(folder) / f"{name}.json"
        path.write_text(json.dumps(state))
        return path

    for name, pattern in PATTERNS.items():
        state = read("llama3")
        state["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": pattern}
        state["model"]["ignore_merges"] = name == "tekken"
        yield write(name, state)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    for name, normalizer, steps in (
            ("gpt-neox", {"type": "NFC"}, [byte_level]),
            ("starcoder2", None, [{"type": "Digits", "individual_digits": True}, byte_level])):
        state = read("gpt2")
        state |= {"normalizer": normalizer,
                  "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps} if steps[1:] else steps[0]}
        yield write(name, state)
    state = read("gpt2")  # GPT-NeoX: runs of spaces that are found in normalized text
    size = len(state["model"]["vocab"]) + len(state["added_tokens"])
    state["normalizer"] = {"type": "NFC"}
    state["added_tokens"] += [
        {"id": size + i, "content": " " * (24 - i), "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": True, "special": False} for i in range(23)]
    yield write("gpt-neox-spaces", state)
    state = read("llama3")  # DeepSeek V3: several patterns one after another
    state["pre_tokenizer"]["pretokenizers"][:1] = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in DEEPSEEK_PATTERNS]
    yield write("deepseek", state)
    for scheme in ("first", "always", "never"):  # Llama 2 where it is not "legacy", Mistral 0.3
        state = read("llama2")
        state |= {"normalizer": None,
                  "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme,
                                    "split": False}}
        yield write(f"mistral-{scheme}", state)
    state = read("llama2")  # Phi-3: tokens that take the space behind them
    size = len(state["model"]["vocab"])
    state["added_tokens"] += [
        {"id": size + i, "content": t, "single_word": False, "lstrip": False, "rstrip": True,
         "normalized": False, "special": True} for i, t in enumerate(["<|user|>", "<|end|>", "<|assistant|>"])]
    yield write("phi3", state)
    state = read("t5")  # XLM-R
    state |= {"normalizer": {"type": "Sequence", "normalizers": state["normalizer"]["normalizers"][:1]},
              "post_processor": None}
    yield write("xlm-r", state)


def sentencepiece_variants(folder):
    """Options of the models with marked spaces and their components, made from llama2 and t5."""
    bases = {name: json.loads((DATA / f"{name}.json").read_text()) for name in ("llama2", "gemma", "t5")}

    def write(name, base, change):
        state = json.loads(json.dumps(bases[base]))
        change(state)
        path = pathlib.Path(folder) / f"{name}.json"
        path.write_text(json.dumps(state))
        return path

    def without(*tokens, **options):
        def change(state):
            model = state["model"]
            kept = [t for t in sorted(model["vocab"], key=model["vocab"].get) if t not in tokens]
            model["vocab"] = {t: i for i, t in enumerate(kept)}
            model["merges"] = [m for m in model["merges"] if {*m, "".join(m)} <= set(kept)]
            model.update(options)
        return change

    bytes_used = [f"<0x{ord(c):02X}>" for c in "H"] + ["<0xE2>", "<0xF0>"]
    for fuse in (False, True):
        yield write(f"no-fallback-{fuse}", "llama2", without("e", byte_fallback=False, fuse_unk=fuse))
        yield write(f"some-bytes-{fuse}", "llama2", without(*bytes_used, fuse_unk=fuse))
        yield write(f"no-unknown-{fuse}", "llama2",
                    without(*bytes_used, fuse_unk=fuse, unk_token=None))
    yield write("no-mark", "llama2", without("\u2581"))
    yield write("whole-pieces", "llama2", lambda s: s["model"].update(ignore_merges=True))
    yield write("unigram-bytes", "t5", lambda s: (
        s["model"].update(byte_fallback=True),
        s["model"]["vocab"].extend([f"<0x{b:02X}>", 0.0] for b in range(256))))
    yield write("unigram-some-bytes", "t5", lambda s: (
        s["model"].update(byte_fallback=True),
        s["model"]["vocab"].extend([f"<0x{b:02X}>", 0.0] for b in range(128))))
    yield write("unigram-rounding", "t5", lambda s: s["model"].update(
        vocab=[[t, round(score)] for t, score in s["model"]["vocab"]]))  # many ties

    normalizers = {
        "none": None,
        "strip-left": {"type": "Strip", "strip_left": True, "strip_right": False},
        "strip-both": {"type": "Strip", "strip_left": True, "strip_right": True},
        "replace-regex": {"type": "Replace", "pattern": {"Regex": r"[aeiou]|\d{2,}"}, "content": "<&>"},
        "replace-empty": {"type": "Replace", "pattern": {"String": "e"}, "content": ""},
        "nfc-prepend": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "xy"}]},
    }
    for name, normalizer in normalizers.items():
        yield write(f"normalizer-{name}", "t5", lambda s: s.update(normalizer=normalizer))
    mark = {"type": "Metaspace", "replacement": "\u2581"}
    pre_tokenizers = {
        "none": None,
        "metaspace-never": mark | {"prepend_scheme": "never", "split": True},
        "metaspace-first": mark | {"prepend_scheme": "first", "split": True},
        "metaspace-whole": mark | {"prepend_scheme": "always", "split": False},
        "metaspace-old": mark | {"add_prefix_space": True},
        "metaspace-other": {"type": "Metaspace", "replacement": "e", "prepend_scheme": "always", "split": True},
        "white-space-split": [{"type": "WhitespaceSplit"}, mark | {"prepend_scheme": "first", "split": True}],
        "white-space-split-always": [{"type": "WhitespaceSplit"}, mark | {"prepend_scheme": "always", "split": True}],
        "words": {"type": "Whitespace"},
        "words-first": [{"type": "Whitespace"}, mark | {"prepend_scheme": "first", "split": True}],
    } | {f"punctuation-{behavior}": [{"type": "Punctuation", "behavior": behavior},
                                      mark | {"prepend_scheme": "always", "split": True}]
         for behavior in ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous")}
    for name, steps in pre_tokenizers.items():
        if isinstance(steps, list):
            steps = {"type": "Sequence", "pretokenizers": steps}
        for base in ("t5", "llama2"):
            yield write(f"pre-{name}-{base}", base, lambda s: s.update(
                pre_tokenizer=steps, normalizer=s["normalizer"] if base == "t5" else None))
    unmark = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    decoders = {
        "fuse": [{"type": "Fuse"}],
        "replace": [unmark, {"type": "Replace", "pattern": {"String": "e"}, "content": "<e>"}],
        "no-fuse": [unmark, {"type": "ByteFallback"}],
        "strip-3": [unmark, {"type": "ByteFallback"}, {"type": "Fuse"},
                    {"type": "Strip", "content": " ", "start": 3, "stop": 0}],
        "metaspace-never": [mark | {"prepend_scheme": "never", "split": True}],
        "metaspace-first": [mark | {"prepend_scheme": "first", "split": True}, {"type": "ByteFallback"}],
    }
    for name, steps in decoders.items():
        yield write(f"decoder-{name}", "llama2", lambda s: s.update(
            decoder={"type": "Sequence", "decoders": steps}))

    def flags(seed):
        def change(state):
            rng = random.Random(seed)
            contents = ["<a>", "<a>b", "aa", "\u2581y", " x", "x ", "é", "e\u0301!", "<", "1", "\uff21", "\ufb01x"]
            model = state["model"]["vocab"]
            known = model if isinstance(model, dict) else {t: i for i, (t, _) in enumerate(model)}
            next_id = len(known)
            for content in rng.sample(contents, 7):
                next_id += content not in known
                state["added_tokens"].append(
                    {"id": known.get(content, next_id - 1), "content": content}
                    | {k: rng.random() < 0.4 for k in ("single_word", "lstrip", "rstrip", "normalized", "special")})
                if content[0] == " ":
                    state["added_tokens"][-1]["lstrip"] = False
                if content in known:  # we keep spellings of the model, and special tokens out of its trie
                    state["added_tokens"][-1] |= {"normalized": False, "special": False}
        return change

    for seed in range(10):
        for base in bases:
            yield write(f"added-{base}-{seed}", base, flags(seed))


def variant_texts(special):
    rng = random.Random(11)
    yield from ["", " ", "a", "aa", "'s", *SCRIPTS, *special]
    points = [c for c in range(0x180, 0x34000) if not 0xD800 <= c < 0xE000]
    yield "".join(f"a{chr(c)}{chr(c)}1" for c in rng.sample(points, 4000))
    yield "".join(map(chr, range(0x897, 0x8a0))) + "\u1c89\U00011de0\U00016ff4\U0002ebf0\u180e \u180e"
    alphabet = [" ", "\n", "a", "b", "x", "<a>", "<", "1", "e\u0301", "é", "!", "A", "Å", "\u212b", "aab", "\u2009", "_"]
    for _ in range(300):
        yield "".join(rng.choices(alphabet, k=rng.randrange(1, 12)))
    yield mixed(rng, 6000, special)


def texts_and_runs(special):
    yield from texts(special)
    yield from runs()


def print_rates(tool, path):
    body = prose(random.Random(7), 2 * MEGABYTE)
    ours = float(run_tool(tool, ["time", path], body.encode()))
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    theirs = min(_timed(functools.partial(tokenizer.encode, body)) for _ in range(3))
    megabytes = len(body.encode()) / MEGABYTE
    print(f"{path.name}: {megabytes / ours:.1f} MB/s, tokenizers {megabytes / theirs:.1f} MB/s")


def _timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare_all(tool, paths, folder):
    failures = 0
    for path in itertools.chain(variants(folder), sentencepiece_variants(folder)):
        failures += compare(tool, path, variant_texts)
    for path in families(folder):
        failures += compare(tool, path, texts)
    for path in paths:
        failures += compare(tool, path, texts_and_runs)
    return failures


def sweep_all(tool, paths, folder):
    """Every code point through every committed tokenizer, every family's pattern and every component that
    looks at classes of characters."""
    failures = 0
    for path in itertools.chain(paths, families(folder)):
        failures += sweep(tool, path, itertools.chain(point_texts(), sweep_texts()))
    for path in sentencepiece_variants(folder):
        if path.name.startswith(("pre-", "normalizer-", "unigram-")):
            failures += sweep(tool, path, point_texts())
    return failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("--gguf", default=os.environ.get("MICA_DEMO_GGUF"))
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--time", action="store_true")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(DATA.glob("*.json"))
        if options.gguf:
            paths.append(gguf_tokenizer(options.gguf, folder))
        if options.time:
            for path in paths:
                print_rates(options.tool, path)
            return
        failures = (sweep_all if options.sweep else compare_all)(options.tool, paths, folder)
    print(f"{failures} differences in all")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
