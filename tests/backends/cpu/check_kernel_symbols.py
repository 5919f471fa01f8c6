"""Kernel objects must not leak code compiled for newer machines into baseline code.

An object may define one symbol, its table mica::cpu::ISA::kKernels, and none that the linker merges
with others of the same name (weak or unique: inline functions and templates); and it may call C
functions only, since a C++ symbol would be such a shared function compiled elsewhere.

  check_kernel_symbols.py NM ISA=ARCHIVE...
"""
import subprocess
import sys


def check(nm, isa, archive):
    table = f"_ZN4mica3cpu{len(isa)}{isa}8kKernelsE"
    listing = subprocess.run([nm, "-g", archive], check=True, capture_output=True, text=True).stdout
    found = False
    for line in listing.splitlines():
        words = line.split()
        if len(words) < 2:  # blank lines and the member's name
            continue
        kind, name = words[-2], words[-1]
        if kind == "U":
            if name.startswith("_Z"):
                yield f"{archive}: calls {name}, which other units may define"
        elif name == table and kind in "DR":
            found = True
        elif not name.startswith(("__asan", "__odr_asan", "__tsan", "__ubsan")):
            yield f"{archive}: defines {name} ({kind}), expected {table} alone"
    if not found:
        yield f"{archive}: expected {table}, not found"


def main():
    nm, *pairs = sys.argv[1:]
    faults = []
    for pair in pairs:
        isa, archive = pair.split("=", 1)
        faults += check(nm, isa, archive)
    print("\n".join(faults) or f"{len(pairs)} kernel objects define their tables alone")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
