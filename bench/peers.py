"""Mica beside llama.cpp, on the same weights, in one session.

    python3 bench/peers.py                          everything: hours, and 16 GB of disk
    python3 bench/peers.py --only smollm2           the small model alone: half an hour
    python3 bench/peers.py --only 'decode 128' --rounds 3
    python3 bench/peers.py --llama-bin DIR          a llama.cpp built before

Each round runs every case once on either program, one after the other, so that a noisy machine hits
both alike; figures are medians over the rounds. bench/README.md tells what is compared. Set-up and
models go to build-peers/, results to bench/results/.
"""
import argparse
import datetime
import glob
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
import venv
from dataclasses import dataclass, field

import llama_cpp

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMO_GGUF = f"{ROOT}/models/SmolLM2-135M-Instruct.Q4_1.gguf"
FIRST_TOKEN_PROMPT = "The first man on the moon was"
FIRST_TOKEN_RUNS = 5  # a round
FLASH_ROUNDS = 3  # in which llama.cpp runs with flash attention and without


@dataclass
class Case:
    model: str  # "smollm2", or the size of a synthetic one
    test: str
    tokens: int
    depth: int = 0
    ratio: float = 0  # wanted against llama.cpp; 0: reported only
    share: float = 0  # wanted of the limit
    variants: tuple = ()  # of Mica, besides the same weights: (name, type, further options)
    batch: int = 1  # Mica alone, beside one sequence
    peer: bool = True
    name: str = field(init=False)

    def __post_init__(self):
        self.name = f"{self.model} {self.test} {self.tokens}"
        if self.depth:
            self.name += f" at {self.depth}"
        if self.batch > 1:
            self.name += f", {self.batch} sequences"


OTHER_TYPES = (("q4g32", "q4g32", ()), ("q4g64", "q4g64", ()), ("q8g32", "q8g32", ()),
               ("avx2", None, ("--isa", "avx2")))
INT8_KV = (("int8 KV", None, ("--kv", "int8")),)
CASES = [
    Case("smollm2", "decode", 128, ratio=2.0, share=0.75, variants=OTHER_TYPES),
    Case("smollm2", "prefill", 512, ratio=3.5, share=0.40, variants=OTHER_TYPES),
    Case("smollm2", "decode", 128, depth=4096, ratio=12, share=0.60, variants=INT8_KV),
    Case("smollm2", "decode", 128, depth=8192, ratio=14, share=0.60, variants=INT8_KV),
    Case("smollm2", "prefill", 4096, ratio=3.5, share=0.20),
    Case("smollm2", "decode", 128, batch=8, peer=False),
    *(Case(size, test, tokens, ratio=ratio, share=share)
      for size in ("1b", "3b", "8b")
      for test, tokens, ratio, share in (("decode", 128, 1.1, 0.85), ("prefill", 512, 3.0, 0.50)))]
FIRST_TOKEN = {"time": 0.35, "memory": 0.7}
BATCH_RATIO = 4.5


def require_gguf(folder):
    """Goes on in a virtual environment with the package `gguf` where this Python lacks it."""
    try:
        import gguf  # noqa: F401
    except ImportError:
        python = f"{folder}/venv/bin/python"
        if sys.executable == python:
            sys.exit(f"{folder}/venv: expected the package gguf, found none; remove the folder")
        if not os.path.exists(python):
            venv.create(f"{folder}/venv", with_pip=True)
        llama_cpp.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "-r",
                       f"{ROOT}/tests/requirements.txt"])
        os.execv(python, [python, *sys.argv])


def say(text):
    print(text, file=sys.stderr, flush=True)


def made_from(source, pattern):
    """`pattern` with the size and time of `source` in place of its star; files of others removed."""
    status = os.stat(source)
    path = pattern.replace("*", f"{status.st_size:x}-{status.st_mtime_ns:x}")
    for old in glob.glob(pattern):
        if old != path:
            os.remove(old)
    return path


class Models:
    """The files of the cases, made when first asked for and again when what they come from changes."""

    def __init__(self, folder, demo, mica, llama):
        self.folder, self.demo, self.mica, self.llama = folder, demo, mica, llama
        os.makedirs(folder, exist_ok=True)

    def gguf(self, model):
        source = self.demo if model == "smollm2" else f"{ROOT}/bench/synthetic_gguf.py"
        path = made_from(source, f"{self.folder}/{model}.*.gguf")
        if not os.path.exists(path):
            say(f"Making {path}")
            if model == "smollm2":
                self.llama.quantize(self.demo, path + ".part", "Q4_0")
            else:
                import synthetic_gguf
                synthetic_gguf.write(model, path + ".part")
            os.rename(path + ".part", path)
        return path

    def converted(self, model, kind):
        """`kind` None: the GGUF's own weights carried over; else quantized anew from the demo's."""
        source = self.demo if kind else self.gguf(model)
        path = made_from(source, f"{self.folder}/{model}.{kind or 'q4_0'}.*.mica")
        if not os.path.exists(path) or os.path.getmtime(path) < os.path.getmtime(self.mica.program):
            say(f"Converting {path}")
            self.mica.convert(source, path, kind)
        return path


class Mica:
    def __init__(self, program, threads):
        self.program, self.threads = program, threads

    def version(self):
        return llama_cpp.run([self.program, "--version"]).strip()

    def convert(self, source, target, kind):
        llama_cpp.run([self.program, "convert", source, target, "--quiet",
                       *(["--quant", kind] if kind else [])])

    def bench(self, model, case, options=()):
        """The JSON of one run of a case; None where program or machine lack what `options` ask for."""
        prompt, generated = (case.tokens, 0) if case.test == "prefill" else (0, case.tokens)
        command = [self.program, "bench", model, "-p", str(prompt), "-n", str(generated), "-d",
                   str(case.depth), "-b", f"1,{case.batch}" if case.batch > 1 else "1", "-t",
                   str(self.threads), "-r", "1", "--quiet", "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True)
        if options and done.returncode in (2, 5):
            say(f"{' '.join(options)} left out: {done.stderr.strip()}")
            return None
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\nexit code {done.returncode}\n{done.stderr}")
        return json.loads(done.stdout)

    def first_token(self, model, prompt):
        return [self.program, "generate", model, "-p", prompt, "-n", "1", "-t", str(self.threads), "-c",
                "512", "--temp", "0"]


def resources(command):
    """Seconds from start to end and greatest resident bytes of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        sys.exit(f"{' '.join(command)}: exit code {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_maxrss * 1024


def summary(samples):
    return {"median": statistics.median(samples), "min": min(samples), "max": max(samples),
            "samples": samples}


class CaseRun:
    """Samples of one case."""

    def __init__(self, case, models, mica, llama):
        self.case, self.models, self.mica, self.llama = case, models, mica, llama
        self.name = case.name
        self.peer = {0: [], 1: []}  # by flash attention
        self.rates, self.shares = {}, {}  # by variant
        self.variants = [("Q4_0", None, ()), *case.variants]
        self.machine = None

    def run_round(self):
        case = self.case
        if case.peer:
            gguf = self.models.gguf(case.model)
            for fa in (0, 1) if len(self.peer[0]) < FLASH_ROUNDS else (self.flash_attention(),):
                self.peer[fa].append(self.llama.rate(gguf, case.test, case.tokens, case.depth, fa))
        for variant in list(self.variants):
            name, kind, options = variant
            found = self.mica.bench(self.models.converted(case.model, kind), case, options)
            if found is None:
                self.variants.remove(variant)
                continue
            self.machine = self.machine or found["machine"]
            for result in found["results"]:
                if result["test"] != case.test:
                    continue
                key = f"{name}, batch {result['batch']}" if case.batch > 1 else name
                self.rates.setdefault(key, []).append(result["tokens_per_second"]["median"])
                if result["share_of_limit"] is not None:
                    self.shares.setdefault(key, []).append(result["share_of_limit"])

    def flash_attention(self):
        """The faster setting of the rounds that had both; the other has only samples of those."""
        return max((0, 1), key=lambda fa: statistics.median(self.peer[fa][:FLASH_ROUNDS]))

    def result(self):
        case = self.case
        found = {"name": case.name, "model": case.model, "test": case.test, "tokens": case.tokens,
                 "depth": case.depth,
                 "mica": [{"variant": key, "tokens_per_second": summary(rates),
                           "share_of_limit": summary(self.shares[key]) if key in self.shares else None}
                          for key, rates in self.rates.items()],
                 "wanted": {"ratio": case.ratio or None, "share": case.share or None}}
        if case.peer:
            fa = self.flash_attention()
            found["llama.cpp"] = {"flash_attention": fa, "tokens_per_second": summary(self.peer[fa]),
                                  "other_setting": summary(self.peer[1 - fa])}
            found["ratio"] = (found["mica"][0]["tokens_per_second"]["median"] /
                              found["llama.cpp"]["tokens_per_second"]["median"])
        elif case.batch > 1:
            one, many = (entry["tokens_per_second"]["median"] for entry in found["mica"][:2])
            found["ratio_to_one_sequence"] = many / one
            found["wanted"]["ratio_to_one_sequence"] = BATCH_RATIO
        return found


class FirstToken:
    """One token from the start of the process to its end."""

    name = "smollm2 first token"

    def __init__(self, models, mica, llama):
        gguf = models.gguf("smollm2")
        self.commands = {
            "llama.cpp": llama.first_token(gguf, FIRST_TOKEN_PROMPT),
            "llama.cpp --no-repack": llama.first_token(gguf, FIRST_TOKEN_PROMPT, "--no-repack"),
            "mica": mica.first_token(models.converted("smollm2", None), FIRST_TOKEN_PROMPT)}
        self.samples = {name: [] for name in self.commands}

    def run_round(self):
        for _ in range(FIRST_TOKEN_RUNS):
            for name, command in self.commands.items():
                self.samples[name].append(resources(command))

    def result(self):
        found = {name: {"seconds": summary([s for s, _ in samples]),
                        "bytes": summary([b for _, b in samples])}
                 for name, samples in self.samples.items()}
        found["ratio"] = {kind: found["mica"][key]["median"] / found["llama.cpp"][key]["median"]
                          for kind, key in (("time", "seconds"), ("memory", "bytes"))}
        found["wanted"] = FIRST_TOKEN
        return found


def mark(value, wanted, at_most=False):
    if not wanted:
        return ""
    good = value <= wanted if at_most else value >= wanted
    return f"({'<=' if at_most else '>='} {wanted:g}: {'yes' if good else 'NO'})"


def print_case(found):
    for i, entry in enumerate(found["mica"]):
        rate, share = entry["tokens_per_second"], entry["share_of_limit"]
        line = f"{found['name'] if i == 0 else '':<34}{entry['variant']:<16}{rate['median']:9.1f}"
        peer = found.get("llama.cpp")
        line += f"{peer['tokens_per_second']['median']:11.1f}" if peer and i == 0 else " " * 11
        ratio = f"{found['ratio']:.2f} {mark(found['ratio'], found['wanted']['ratio'])}" \
            if peer and i == 0 else ""
        if i == 1 and "ratio_to_one_sequence" in found:
            value = found["ratio_to_one_sequence"]
            ratio = f"{value:.2f} of one {mark(value, BATCH_RATIO)}"
        line += f"  {ratio:<24}"
        if share:
            wanted = found["wanted"]["share"] if i == 0 else None
            line += f"{share['median']:5.0%} {mark(share['median'], wanted)}"
        print(line.rstrip())


def print_results(document):
    print(f"{'case':<34}{'mica':<16}{'tokens/s':>9}{'llama.cpp':>11}  {'ratio':<24}share of limit")
    for found in document["cases"]:
        print_case(found)
    first = document.get("first_token")
    if first:
        for name in ("mica", "llama.cpp", "llama.cpp --no-repack"):
            print(f"first token, {name:<24}{1000 * first[name]['seconds']['median']:7.0f} ms "
                  f"{first[name]['bytes']['median'] / 1e6:7.0f} MB")
        for kind, wanted in FIRST_TOKEN.items():
            value = first["ratio"][kind]
            print(f"first token, {kind:<24}{value:7.2f} {mark(value, wanted, at_most=True)}")


def git(*args):
    done = subprocess.run(["git", "-C", ROOT, *args], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def describe(arguments, mica, llama):
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "commit": git("rev-parse", "HEAD"),
            "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no")),
            "versions": {"mica": mica.version(), "llama.cpp": llama.version(),
                         "llama-cpp-python": None if arguments.llama_bin else llama_cpp.VERSION,
                         "kernel": platform.release()},
            "threads": arguments.threads, "load_before": os.getloadavg()}


def results(runs, first, rounds):
    """What is known after so many rounds."""
    found = {"rounds": rounds, "load_after": os.getloadavg(),
             "machine": runs[0].machine if runs else {"cpu": platform.processor() or "unknown"},
             "cases": [run.result() for run in runs]}
    if first:
        found["first_token"] = first.result()
    return found


def save(document, path):
    """Writes after every round: a long session may be cut short."""
    path = path or default_output(document)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(document, indent=1) + "\n")
    return path


def default_output(document):
    cpu = re.sub(r"[^a-z0-9]+", "-", document["machine"]["cpu"].lower()).strip("-")
    return f"{ROOT}/bench/results/{document['date'][:10]}-{cpu}-{(document['commit'] or 'none')[:8]}.json"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="REGEX", help="cases whose name has this in it")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and stop")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mica", default=f"{ROOT}/build/cli/mica", metavar="PROGRAM")
    parser.add_argument("--model", default=DEMO_GGUF, metavar="GGUF", help="SmolLM2-135M (./demo fetches it)")
    parser.add_argument("--llama-bin", metavar="DIR", help="folder of llama.cpp's programs")
    parser.add_argument("--cache", default=f"{ROOT}/build-peers", metavar="DIR")
    parser.add_argument("--out", metavar="FILE", help="where the JSON goes")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    names = [case.name for case in CASES] + [FirstToken.name]
    chosen = [name for name in names if re.search(arguments.only, name)]
    if arguments.list or not chosen:
        print(*names, sep="\n")
        sys.exit(0 if arguments.list else f"--only: none of these has '{arguments.only}' in it")
    for path, how in ((arguments.mica, "ninja -C build program"), (arguments.model, "./demo")):
        if not os.path.exists(path):
            sys.exit(f"{path}: not found; `{how}` makes it")
    cache = os.path.abspath(arguments.cache)
    os.makedirs(cache, exist_ok=True)
    require_gguf(cache)
    llama = llama_cpp.LlamaCpp(arguments.llama_bin or llama_cpp.build(cache), arguments.threads)
    mica = Mica(arguments.mica, arguments.threads)
    models = Models(f"{cache}/models", arguments.model, mica, llama)
    document = describe(arguments, mica, llama)
    runs = [CaseRun(case, models, mica, llama) for case in CASES if case.name in chosen]
    first = FirstToken(models, mica, llama) if FirstToken.name in chosen else None
    try:
        for number in range(1, arguments.rounds + 1):
            for run in [*runs, *([first] if first else [])]:
                say(f"round {number} of {arguments.rounds}: {run.name}")
                run.run_round()
            path = save(document | results(runs, first, number), arguments.out)
    except KeyboardInterrupt:
        if number == 1:
            sys.exit(130)
        say(f"Stopped in round {number}")
    print_results(results(runs, first, number))
    say(f"Wrote {path}")


if __name__ == "__main__":
    main()
