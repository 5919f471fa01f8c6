"""Prints Meson's test results: every failure in full, then one line that counts.

Usage: report.py build/meson-logs/testlog.json
"""
import json
import sys


def main(path):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for line in open(path, encoding="utf-8"):
        test = json.loads(line)
        result = test["result"]
        kind = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}.get(result, "failed")
        counts[kind] += 1
        print(f"{result:8} {test['duration']:7.1f} s  {test['name']}")
        if kind == "failed":
            print(test.get("stdout", ""))
            print(test.get("stderr", ""))
        elif kind == "skipped":
            print(test.get("stdout", "").strip()[-500:])
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
