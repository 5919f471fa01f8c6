"""A tokenizer with one token a byte, for folders of random models, which have none."""
import tokenizers


def tokenizer_of_bytes():
    letters = [chr(b) for b in (*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100))]
    letters += [chr(0x100 + i) for i in range(68)]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({c: i for i, c in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    return tokenizer
