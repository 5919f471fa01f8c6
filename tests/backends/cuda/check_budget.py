"""What ptxas says of the kernels, held against budget.json: check_budget.py BUDGET TOOLKIT LOG...

Fails when a kernel takes more registers, shared memory or spills than the budget allows, when a hot
kernel spills at all, and when kernels or architectures are missing or new. With --write the budget
becomes what the logs say. Another toolkit than the budget's allots registers in its own way: then only
the spills of hot kernels count.
"""

import fnmatch
import json
import pathlib
import re
import sys

FIGURES = ["registers", "spill_bytes", "shared_bytes"]
ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")


def read_logs(paths):
    """{kernel: {architecture: [registers, spill bytes, static shared bytes]}}"""
    found = {}
    for path in paths:
        kernel = architecture = None
        spills = 0
        for line in pathlib.Path(path).read_text().splitlines():
            if match := ENTRY.search(line):
                kernel, architecture = match.groups()
            elif match := SPILLS.search(line):
                spills = int(match[1]) + int(match[2])
            elif (match := USED.search(line)) and kernel:
                figures = [int(match[1]), spills, int(match[2] or 0)]
                found.setdefault(kernel, {})[architecture] = figures
    return found


def complaints(budget, toolkit, found):
    for kernel, by_architecture in sorted(found.items()):
        is_hot = any(fnmatch.fnmatch(kernel, pattern) for pattern in budget["hot"])
        for architecture, figures in sorted(by_architecture.items()):
            name = f"{kernel} for {architecture}"
            if is_hot and figures[1] > 0:
                yield f"{name}: a hot kernel, expected no spills, found {figures[1]} bytes"
            if toolkit != budget["toolkit"]:
                continue
            allowed = budget["kernels"].get(kernel, {}).get(architecture)
            if allowed is None:
                yield f"{name}: not in the budget"
                continue
            for label, most, is_now in zip(FIGURES, allowed, figures):
                if is_now > most:
                    yield f"{name}: expected at most {most} {label}, found {is_now}"
    for kernel, by_architecture in budget["kernels"].items():
        for architecture in by_architecture:
            if toolkit == budget["toolkit"] and architecture not in found.get(kernel, {}):
                yield f"{kernel} for {architecture}: in the budget, but was not compiled"


def write(path, budget, toolkit, found):
    lines = [f'    "{kernel}": {json.dumps(dict(sorted(by.items())))}' for kernel, by in sorted(found.items())]
    text = "{\n" + f'  "toolkit": "{toolkit}",\n  "figures": {json.dumps(FIGURES)},\n'
    text += f'  "hot": {json.dumps(budget["hot"])},\n  "kernels": {{\n' + ",\n".join(lines) + "\n  }\n}\n"
    path.write_text(text)


def main():
    arguments = [word for word in sys.argv[1:] if word != "--write"]
    path, toolkit, logs = pathlib.Path(arguments[0]), arguments[1], arguments[2:]
    budget = json.loads(path.read_text())
    found = read_logs(logs)
    if not found:
        sys.exit("no kernels in " + " ".join(logs))
    if "--write" in sys.argv:
        write(path, budget, toolkit, found)
        return
    failures = list(complaints(budget, toolkit, found))
    print("\n".join(failures) or f"{len(found)} kernels within their budget")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
