"""Puts what bench/gpu.sh measured into one JSON, with shares of the ceilings: gpu_report.py FOLDER OUT.

FOLDER holds NAME.json and NAME.status ("0", an exit status, "skipped: why") of each step.
"""

import json
import pathlib
import sys


def read(folder):
    steps = {}
    for path in sorted(folder.glob("*.status")):
        step = {"status": path.read_text().strip()}
        output = path.with_suffix(".json")
        if output.exists() and output.stat().st_size:
            try:
                step["result"] = json.loads(output.read_text())
            except json.JSONDecodeError:
                step["output"] = output.read_text()[-2000:]
        errors = path.with_suffix(".err")
        if step["status"] != "0" and errors.exists():
            step["errors"] = errors.read_text()[-2000:]
        steps[path.stem] = step
    return steps


def add_shares(steps):
    """Of the measured read rate for decode, of the bf16 peak for prefill."""
    ceilings = steps.get("ceilings", {}).get("result")
    if not ceilings:
        return
    read_rate, bf16 = ceilings["read_bytes_per_second"], ceilings["bf16_operations"]
    for kernel in steps.get("kernels", {}).get("result", {}).get("kernels", []):
        if kernel["tokens"] <= 8:
            kernel["share_of_read"] = kernel["bytes_per_second"] / read_rate
        elif bf16:
            kernel["share_of_bf16_peak"] = kernel["operations_per_second"] / bf16
    for model in steps.get("models", {}).get("result", {}).get("models", []):
        if "error" in model:
            continue
        rate = model["decode_tokens_per_second"] * model["weight_bytes"]
        model["decode_share_of_read"] = rate / read_rate
        if bf16:
            model["prefill_share_of_bf16_peak"] = model["prefill_operations_per_second"] / bf16


def main():
    folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    steps = read(folder)
    add_shares(steps)
    machine = folder / "nvidia-smi.txt"
    if machine.exists():
        steps["machine"] = {"status": "0", "output": machine.read_text().strip()}
    out.write_text(json.dumps(steps, indent=1) + "\n")
    failed = [name for name, step in steps.items()
              if step["status"] != "0" and not step["status"].startswith("skipped")]
    for name, step in steps.items():
        print(f"{name:14} {'ok' if step['status'] == '0' else step['status']}")
    print(f"{len(steps) - len(failed)} steps without failure, {len(failed)} failed: {out}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
