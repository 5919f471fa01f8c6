"""The text that the small tokenizers of this folder are trained on: the same at every run."""
import itertools
import random

SENTENCES = """
The quick brown fox jumps over the lazy dog. We'll see whether it's true that they've seen 1234 cats.
Language models predict the next token of a text from all the tokens before it.
def main(argc, argv): return {"key": [1, 2, 3], 'value': None}  # a comment
for (int i = 0; i < count; ++i) { total += values[i] * weights[i]; }
Fünf große Bären fraßen süße Äpfel. L'été dernier, où étais-tu ? El niño comió piñas mañana.
Быстрая лиса прыгает через ленивую собаку. Η γρήγορη αλεπού πηδάει πάνω από το σκυλί.
天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。 いろはにほへと ちりぬるを。 다람쥐 헌 쳇바퀴에 타고파.
الثعلب البني السريع يقفز فوق الكلب الكسول. השועל החום המהיר קופץ מעל הכלב העצלן.
तेज भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है। สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจ
""".strip().splitlines()


def corpus():
    rng = random.Random(1)
    words = list(itertools.chain.from_iterable(s.split() for s in SENTENCES))
    for i in range(3000):
        yield rng.choice(SENTENCES)
        yield " ".join(rng.choices(words, k=12)) + rng.choice(["", "\n", "\n\n", "  ", "\t", "!!!", " ..."])
        yield str(rng.randrange(10 ** rng.randrange(1, 9)))
