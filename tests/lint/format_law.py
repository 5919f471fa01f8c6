"""Checks that clang-format would leave every C and C++ file as it is.

    format_law.py CLANG_FORMAT ROOT     prints the files it would change; exit status 1 if there are
"""

import os
import subprocess
import sys

from source_files import code_files


def misformatted(clang_format, root):
    for name in code_files(root):
        if name.endswith(".in"):
            continue
        command = [clang_format, "--dry-run", "-Werror", os.path.join(root, name)]
        if subprocess.run(command, capture_output=True).returncode != 0:
            yield name


if __name__ == "__main__":
    found = list(misformatted(*sys.argv[1:3]))
    print(*found, sep="\n")
    print(f"{len(found)} files are not as clang-format writes them (clang-format -i FILE mends them)")
    sys.exit(1 if found else 0)
