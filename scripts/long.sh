#!/usr/bin/env bash
# The long checks of ./check --long: sanitizer builds, fuzzers, AArch64 kernels under qemu, fault
# injection. Each part prints one line, and its whole output where it failed; the last line counts.
#
# MICA_FUZZ_SECONDS (default 300) is the time of each fuzzer; as many run at once as there are
# processors. Builds are kept in build-asan, build-tsan, build-fuzz and build-arm64, inputs that
# break a fuzzer in build-fuzz/found.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
. scripts/setup.sh
set +e

fuzz_seconds=${MICA_FUZZ_SECONDS:-300}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
passed=0 failed=0

report() {  # report NAME STATUS LOG
  if [ "$2" = 0 ]; then
    passed=$((passed + 1)); echo "ok      $1  $(tail -n 1 "$3")"
  else
    failed=$((failed + 1)); echo "FAILED  $1"; cat "$3"
  fi
}
part() {  # part NAME COMMAND...
  local name=$1
  shift
  "$@" > "$logs/part" 2>&1
  report "$name" $? "$logs/part"
}

# configure NAME COMPILER SANITIZERS CPP_ARGS [OPTION...]: build-NAME, once. GCC 12 takes four to
# eight times as long as clang 14 for address,undefined; clang's TSan does not let tests replace
# operator new.
configure() {
  local name=$1 compiler=$2 sanitizers=$3 args=$4
  shift 4
  [ -f "build-$name/build.ninja" ] || CXX=$compiler meson setup "build-$name" \
    -Dbuildtype=debugoptimized -Db_lundef=false "-Db_sanitize=$sanitizers" "-Dcpp_args=$args" "$@"
}

# sanitized_tests NAME COMPILER SANITIZERS CPP_ARGS MESON_TEST_ARGUMENT...: the tests, those of the
# program with the sanitized program. Left out: 'unsanitized' (a real model's golden values, the
# README's commands and 48 MB of text through the tokenizers, too slow; symbols of the kernels,
# which sanitizers add to), and what reads sources only.
sanitized_tests() {
  local name=$1
  configure "$1" "$2" "$3" "$4" || return 1
  rm -f "build-$name/meson-logs/testlog.json"
  MICA_TEST_PROGRAM=$PWD/build-$name/cli/mica ASAN_OPTIONS=allocator_may_return_null=1 \
    UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=suppressions=$PWD/tests/support/tsan.supp \
    meson test -C "build-$name" --no-suite long --no-suite lint --no-suite unsanitized \
    --timeout-multiplier 10 "${@:5}" > "$logs/build" 2>&1
  [ -f "build-$name/meson-logs/testlog.json" ] || { cat "$logs/build"; return 1; }
  python3 scripts/report.py "build-$name/meson-logs/testlog.json"
}

build_fuzzers() {
  configure fuzz clang++ address,undefined \
    "-fsanitize=fuzzer-no-link -fno-sanitize-recover=all" -Dfuzz=true &&
    ninja -C build-fuzz fuzzers
}
fuzz() {  # fuzz NAME: clean for fuzz_seconds, from the committed corpus
  local corpus=$logs/corpus-$1
  mkdir -p "$corpus" build-fuzz/found
  nice -n 5 "build-fuzz/tests/fuzz/fuzz_$1" "-max_total_time=$fuzz_seconds" -rss_limit_mb=2048 \
    -timeout=20 "-artifact_prefix=build-fuzz/found/$1-" "$corpus" "tests/fuzz/corpus/$1"
}
# The NEON kernels against the reference, and the bits of weight types, on emulated AArch64.
arm64_tests() {
  [ -f build-arm64/build.ninja ] ||
    meson setup build-arm64 --cross-file scripts/arm64.ini -Dbuildtype=debugoptimized || return 1
  rm -f build-arm64/meson-logs/testlog.json
  meson test -C build-arm64 --timeout-multiplier 20 cpu-backend quant > "$logs/build" 2>&1
  [ -f build-arm64/meson-logs/testlog.json ] || { cat "$logs/build"; return 1; }
  python3 scripts/report.py build-arm64/meson-logs/testlog.json
}
# The tests of the suite 'long': every code point through the tokenizers.
long_tests() {
  rm -f build/meson-logs/testlog.json
  meson test -C build --suite long > "$logs/build" 2>&1
  [ -f build/meson-logs/testlog.json ] || { cat "$logs/build"; return 1; }
  python3 scripts/report.py build/meson-logs/testlog.json
}
declare -A fuzzing=()  # process -> name
report_next_fuzzer() {
  local process status
  wait -n -p process "${!fuzzing[@]}"
  status=$?
  report "fuzz ${fuzzing[$process]}" "$status" "$logs/${fuzzing[$process]}"
  unset "fuzzing[$process]"
}

part "ASan and UBSan: tests" \
  sanitized_tests asan clang++ address,undefined -fno-sanitize-recover=all
# Threads are all that TSan looks at.
part "TSan: tests with threads" sanitized_tests tsan g++ thread "" --suite threads
part "tokenizers: every code point" long_tests
part "NEON: kernels under qemu" arm64_tests
part "fuzzers: build" build_fuzzers
for source in tests/fuzz/fuzz_*.cpp; do
  [ ${#fuzzing[@]} -lt "$(nproc)" ] || report_next_fuzzer
  name=$(basename "$source" .cpp)
  name=${name#fuzz_}
  fuzz "$name" > "$logs/$name" 2>&1 &
  fuzzing[$!]=$name
done
while [ ${#fuzzing[@]} -gt 0 ]; do report_next_fuzzer; done
part "kill -9 and failing writes at every system call of a conversion" \
  .venv/bin/python tests/cli/fault_injection.py build/cli/mica
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
