#!/usr/bin/env bash
# Everything that needs a real GPU, in under nine minutes and without network; results in one JSON.
#
#   bench/gpu.sh [--from FOLDER] [--out FILE]   on a machine with a GPU
#   bench/gpu.sh --pack FOLDER                  what such a machine needs, built here, in one folder
#   bench/gpu.sh --dry-run [--out FILE]         the same steps with tiny sizes on the host build
#
# Programs come from FOLDER (default: gpu-run where it is, else build, compiled as needed). Steps:
# conformance of every operation; equality with the CPU, bit by bit; ceilings; kernel shares; decode
# and prefill of synthetic models; offload under caps and the planner's error by the program.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

dry='' pack='' from='' out=''
while [ $# -gt 0 ]; do
  case "$1" in
    --dry-run) dry=1 ;;
    --pack) pack=${2:?--pack FOLDER}; shift ;;
    --from) from=${2:?--from FOLDER}; shift ;;
    --out) out=${2:?--out FILE}; shift ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
  shift
done

programs=(bench/gpu-bench bench/gpu-ceilings backends/cuda/mica-cuda.so
          tests/backends/cuda/cuda-device-conformance cli/mica)
folder=${MICA_BUILD_DIR:-build}
build() { # build TARGET...: of the build folder, or only what is not there where another is in charge
  if [ -n "${MICA_BUILD_DIR:-}" ]; then
    for target in "$@"; do [ -e "$folder/$target" ] || { echo "$folder/$target is missing" >&2; exit 1; }; done
    return
  fi
  [ -f "$folder/build.ninja" ] || meson setup "$folder" >&2 || exit
  ninja -C "$folder" "$@" >&2 || exit
}

if [ -n "$pack" ]; then
  build "${programs[@]}"
  mkdir -p "$pack/lib"
  for program in "${programs[@]}"; do
    cp "$folder/$program" "$pack/" || exit
    # All libraries but the C library's own, which belong to the machine.
    ldd "$folder/$program" | awk '$3 ~ /^\// {print $3}' |
      grep -vE '/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*)\.so' | xargs -r cp -Lt "$pack/lib"
  done
  strip "$pack"/* "$pack"/lib/* 2> /dev/null
  du -sh "$pack"
  exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
started=$SECONDS
step() { # step NAME SECONDS COMMAND...
  local name=$1 limit=$2 left=$((520 - (SECONDS - started)))
  shift 2
  [ "$limit" -le "$left" ] || limit=$left
  if [ "$limit" -lt 5 ]; then
    echo "skipped: no time left of nine minutes" > "$work/$name.status"
    return
  fi
  timeout "$limit" "$@" > "$work/$name.json" 2> "$work/$name.err"
  echo $? > "$work/$name.status"
}
skip() { echo "skipped: $2" > "$work/$1.status"; }

if [ -n "$dry" ]; then
  out=${out:-$folder/gpu-dry-run.json}
  build bench/gpu-bench-host tests/backends/cuda/cuda-backend-host cli/mica
  bench=("$folder/bench/gpu-bench-host") tiny=--tiny
  step conformance 120 "$folder"/tests/backends/cuda/cuda-backend-host -tc='NaN*,norms*,copies*'
  skip ceilings "the host build has none"
  mica=$folder/cli/mica planned='--device cpu --default-rates'
else
  out=${out:-gpu-results.json}
  if [ -z "$from" ]; then [ -d gpu-run ] && from=gpu-run; fi
  if [ -n "$from" ]; then
    export LD_LIBRARY_PATH="$PWD/$from/lib:${LD_LIBRARY_PATH:-}" MICA_MODULE_DIR=$PWD/$from
    place() { echo "$from"; }
  else
    build "${programs[@]}"
    MICA_MODULE_DIR=$(realpath "$folder/backends/cuda")
    export MICA_MODULE_DIR
    place() { echo "$folder/$1"; }
  fi
  bench=("$(place bench)/gpu-bench") tiny=''
  mica=$(place cli)/mica planned=''
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.mem,pcie.link.gen.max \
    --format=csv > "$work/nvidia-smi.txt" 2>&1
  step ceilings 30 "$(place bench)/gpu-ceilings"
  MICA_CUDA_GEMM_TOKENS=0 step conformance 200 \
    "$(place tests/backends/cuda)/cuda-device-conformance"
  MICA_CUDA_GEMM_TOKENS=9 step conformance-bf16 60 \
    "$(place tests/backends/cuda)/cuda-device-conformance" -tc='integer*,gated*'
fi
step equality 60 "${bench[@]}" equality $tiny
step kernels 90 "${bench[@]}" kernels $tiny
step models 120 "${bench[@]}" models $tiny

# The program's own figures, as far as it has them.
if [ -z "$dry" ] && "$mica" bench --help 2>&1 | grep -q -- --gpu-memory; then
  for cap in 0 2G 4G 8G; do
    step "offload-$cap" 25 "$mica" bench --synthetic 8b --quant q4g64 --gpu-memory "$cap" -p 512 -d 0 \
      -r 1 --json
  done
else
  skip offload "the program has no --gpu-memory, or this is a dry run"
fi
# What the plan says of each device. Its error is that of what it adds up, taken_bytes - asked_bytes of
# the models above: granularity of the driver's allocations.
# shellcheck disable=SC2086
step planner 30 "$mica" plan --synthetic 8b --quant q4g64 --json $planned
python3 bench/gpu_report.py "$work" "$out"
