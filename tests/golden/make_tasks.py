#!/usr/bin/env python3
"""Scores JSON lines as `mica perplexity --task` does, with transformers in float32.

    make_tasks.py tests/data             writes tests/data/tasks/golden.json for the tiny models
    make_tasks.py tests/data MODEL.gguf  prints the figures of a GGUF file's weights

Needs torch, transformers, tokenizers and gguf; not run by the tests. Written after lm-evaluation-harness:
context and continuation are tokenized together, white space at the end of the context counts to the
continuation, and the tokens behind those of the context alone are scored. acc_norm divides by bytes.
"""
import json
import math
import pathlib
import sys

import torch
import transformers

import make_golden


def log_likelihood(model, tokenizer, context, continuation):
    """Of the continuation, and whether it is what greedy decoding gives."""
    whole = tokenizer(context + continuation)["input_ids"]
    first = len(tokenizer(context.rstrip())["input_ids"])
    logits = model(torch.tensor([whole])).logits[0].double()
    logs = torch.log_softmax(logits, -1)[first - 1:-1]
    target = torch.tensor(whole[first:])
    greedy = bool((logs.argmax(-1) == target).all())
    return float(logs.gather(1, target[:, None]).sum()), greedy


def mean(values):
    """With the standard error of the sample."""
    average = sum(values) / len(values)
    variance = sum((v - average) ** 2 for v in values) / (len(values) - 1)
    return average, math.sqrt(variance / len(values))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def put(result, name, estimate):
    result[name], result[name + "_se"] = estimate


@torch.no_grad()
def lambada(model, tokenizer, path):
    found, logs = [], []
    for item in lines(path):
        context, word = item["text"].rsplit(" ", 1)
        log, greedy = log_likelihood(model, tokenizer, context, " " + word)
        found.append(float(greedy))
        logs.append(-log)
    result = {"items": len(found)}
    put(result, "accuracy", mean(found))
    nll, error = mean(logs)
    put(result, "perplexity", (math.exp(nll), math.exp(nll) * error))
    return result


@torch.no_grad()
def choices(model, tokenizer, path):
    right, right_norm = [], []
    for item in lines(path):
        logs = [log_likelihood(model, tokenizer, item["context"], " " + choice)[0]
                for choice in item["choices"]]
        norms = [log / len(choice.encode()) for log, choice in zip(logs, item["choices"])]
        right.append(float(logs.index(max(logs)) == item["answer"]))
        right_norm.append(float(norms.index(max(norms)) == item["answer"]))
    result = {"items": len(right)}
    put(result, "accuracy", mean(right))
    put(result, "accuracy_norm", mean(right_norm))
    return result


def score(model, tokenizer, tasks):
    return {"lambada": lambada(model, tokenizer, tasks / "lambada.jsonl"),
            "choices": choices(model, tokenizer, tasks / "choices.jsonl")}


def score_folder(folder, tasks):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager")
    return score(model, transformers.AutoTokenizer.from_pretrained(folder), tasks)


def main(data, source=None):
    data = pathlib.Path(data)
    if source:
        source = pathlib.Path(source)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        print(json.dumps(score(make_golden.load(source), tokenizer, data / "tasks"), indent=2))
        return
    results = {name: score_folder(data / name, data / "tasks")
               for name in ("tiny-qwen2", "tiny-llama3")}
    (data / "tasks/golden.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
