"""Checks what the folders may include of each other, and four laws of files beside it.

    include_law.py ROOT     prints one line a violation; exit status 1 when there is one

The laws: a folder includes only what LAW allows it; third-party headers that stay inside .cpp files
do; file names are unique; a header opens with a comment; no two headers define a class of one name
in one namespace (the linker would take either's functions for both).
"""

import collections
import os
import re
import sys

from source_files import CODE, code_files, source_files

# Folder or file -> what it may include besides itself: folders, or single headers where only a part
# is for it. The longest matching entry counts. CONTRIBUTING.md tells the reasons.
QUANT_DESCRIPTORS = ["quant/weight_type.h", "quant/activations.h"]
FLOORS_0_TO_3 = ["lib/base", "lib/tensor", "quant", "formats", "lib/backend"]
PROGRAM = ["lib/base", "lib/api/mica.h", "lib/api/mica.hpp"]
LAW = {
    "lib/base": [],
    "lib/tensor": ["lib/base"],
    "quant": ["lib/base", "lib/tensor"],
    "formats": ["lib/base", "lib/tensor"],
    "lib/backend": ["lib/base", "lib/tensor", *QUANT_DESCRIPTORS],
    "backends/cpu": FLOORS_0_TO_3,
    "backends/cuda": FLOORS_0_TO_3,
    "lib/model": ["lib/base", "lib/tensor", *QUANT_DESCRIPTORS, "formats/reader.h",
                  "lib/backend/backend.h", "lib/backend/kv_layout.h"],
    "lib/text": ["lib/base"],
    "lib/runtime": [*FLOORS_0_TO_3, "backends", "lib/model", "lib/text"],
    "lib/api": ["lib/base", "lib/runtime"],
    "lib/api/mica.h": [],
    "lib/api/mica.hpp": ["lib/api/mica.h"],
    "cli": PROGRAM,
    "cli/commands/convert.cpp": [*PROGRAM, "cli", "formats", "quant"],
    "cli/commands/inspect.cpp": [*PROGRAM, "cli", "formats", "quant"],
    "cli/commands/verify.cpp": [*PROGRAM, "cli", "formats", "quant"],
    "tests": [""],
    "bench": [""],
}

# Libraries whose headers appear in no header of these folders.
HIDDEN = re.compile(r"fmt/|nlohmann/|pcre2|utf8proc|xxhash|CLI/")
HIDING_FOLDERS = ("lib/", "quant/", "formats/", "backends/")

NAMESPACE = re.compile(r"namespace (?:([\w:]+) )?\{$|\}  // namespace")
CLASS = re.compile(r"(?:class|struct|union|enum class|enum) ([\w:]+)\b[^;()]*\{")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)

# Names that a tool or a convention gives. A command's file is named after its command.
SHARED_NAMES = {"meson.build", "README.md", "__init__.py"}
NAMED_AFTER_COMMANDS = "cli/commands/"


def is_under(path, folder):
    return folder == "" or path == folder or path.startswith(folder + "/")


def entry_of(path):
    """The longest entry of LAW that holds `path`, or None."""
    return max((entry for entry in LAW if is_under(path, entry)), key=len, default=None)


def include_violations(name, text, known):
    entry = entry_of(name)
    if entry is None:
        yield f"{name}: expected a folder of the include law, found a new one"
        return
    top_folders = {path.split("/")[0] for path in LAW}
    for quote, target in INCLUDE.findall(text):
        ours = quote == '"' or target.split("/")[0] in top_folders
        if name.endswith((".h", ".hpp")) and name.startswith(HIDING_FOLDERS) and HIDDEN.match(target):
            yield f"{name}: expected {target} only in .cpp files, found it in a header"
        if not ours:
            continue
        if target not in known:
            yield f"{name}: expected an include path from the root, found {target}"
        elif not any(is_under(target, allowed) for allowed in [entry, *LAW[entry]]):
            yield f"{name}: {entry} may not include {target}"


def comment_violations(name, text):
    if name.endswith((".h", ".hpp")) and not text.startswith(("//", "/*")):
        yield f"{name}: expected an opening comment, found none"


def name_violations(names):
    places = collections.defaultdict(list)
    for name in names:
        base = os.path.basename(name)
        is_source = name.endswith((*CODE, ".md", ".py"))  # not data, which others name
        if is_source and base not in SHARED_NAMES and not name.startswith(NAMED_AFTER_COMMANDS):
            places[base].append(name)
    for base, found in places.items():
        if len(found) > 1:
            yield f"{base}: expected one file of this name, found {', '.join(found)}"


def classes(text):
    """Names of the classes that a header defines outside of others, with their namespace."""
    open_namespaces = []
    for line in text.splitlines():
        if found := NAMESPACE.match(line):
            if line.startswith("}"):
                open_namespaces.pop()
            else:
                open_namespaces.append(found[1])
        elif (found := CLASS.match(line)) and None not in open_namespaces:
            yield "::".join([*open_namespaces, found[1]])


def violations(root):
    code = code_files(root)
    places = collections.defaultdict(set)
    for name in code:
        with open(os.path.join(root, name), encoding="utf-8") as file:
            text = file.read()
        yield from include_violations(name, text, set(code))
        yield from comment_violations(name, text)
        if name.endswith((".h", ".hpp")):
            for class_name in classes(text):
                places[class_name].add(name)
    for class_name, found in places.items():
        if len(found) > 1:
            yield f"{class_name}: expected one header that defines it, found {', '.join(sorted(found))}"
    yield from name_violations(source_files(root))


if __name__ == "__main__":
    found = list(violations(sys.argv[1]))
    print(*found, sep="\n")
    print(f"{len(found)} violations of the include law")
    sys.exit(1 if found else 0)
