#!/usr/bin/env bash
# The long checks of ./check --long: fuzzers, sanitizer builds, fault injection. Each part prints one
# line; the last line counts. MICA_FUZZ_SECONDS (default 300) is the time of each fuzzer.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
set +e

passed=0 failed=0
part() {  # part NAME COMMAND...: runs it, its output only on failure
  local name=$1 log
  shift
  log=$(mktemp)
  if "$@" > "$log" 2>&1; then
    passed=$((passed + 1)); echo "ok      $name  $(tail -n 1 "$log")"
  else
    failed=$((failed + 1)); echo "FAILED  $name"; cat "$log"
  fi
  rm -f "$log"
}

# sanitized NAME OPTIONS...: a build in build-NAME of its own.
sanitized() {
  local name=$1
  shift
  [ -f "build-$name/build.ninja" ] || meson setup "build-$name" -Dbuildtype=debugoptimized \
    -Db_lundef=false "$@" || return 1
}
sanitized_tests() {  # sanitized_tests NAME SANITIZERS SUITE...
  local name=$1 sanitizers=$2
  shift 2
  sanitized "$name" "-Db_sanitize=$sanitizers" || return 1
  ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    meson test -C "build-$name" --no-suite long --no-suite lint --timeout-multiplier 10 \
    --print-errorlogs "$@"
}
fuzzer() {  # fuzzer NAME: clean for MICA_FUZZ_SECONDS, from the committed corpus
  local name=$1 corpus
  corpus=$(mktemp -d)
  "build-fuzz/tests/fuzz/fuzz_$name" -max_total_time="${MICA_FUZZ_SECONDS:-300}" -rss_limit_mb=2048 \
    -timeout=20 -print_final_stats=1 "$corpus" "tests/fuzz/corpus/$name"
  local status=$?
  rm -rf "$corpus"
  return $status
}

part "ASan and UBSan build and tests" sanitized_tests asan address,undefined
part "TSan build and tests" sanitized_tests tsan thread
part "fuzzers build" eval 'CXX=clang++ sanitized fuzz -Dfuzz=true -Db_sanitize=address,undefined \
  "-Dcpp_args=-fsanitize=fuzzer-no-link -fno-sanitize-recover=all" && ninja -C build-fuzz'
for source in tests/fuzz/fuzz_*.cpp; do
  name=$(basename "$source" .cpp)
  part "fuzz ${name#fuzz_} ${MICA_FUZZ_SECONDS:-300} s" fuzzer "${name#fuzz_}"
done
part "kill -9 and failing writes at every system call of a conversion" \
  .venv/bin/python tests/cli/fault_injection.py build/cli/mica
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
