#!/usr/bin/env bash
# Makes the files of a release, byte for byte the same from every clone of a commit with the same tools. The binary is built
# from the files of the source tarball, with cargo offline: what is published builds.
set -euo pipefail

usage='Usage: tools/release.sh [ARCH...]

Makes the release of the commit that is checked out, in dist/, for this machine and for other processors that are named
(aarch64, x86_64):
  zsic-VERSION-py3-none-PLATFORM.whl  the command as a Python package
  zsic-VERSION-ARCH-linux.tar.gz      the same binary, with manual page, completions and licences
  zsic-VERSION-source.tar.xz          the source with all crates: it builds without a network
  RELEASE_NOTES.md                    this version in CHANGELOG.md, and the tools used
  SHA256SUMS

It needs Linux, git, cargo, a C compiler, GNU tar, xz, and a Python environment with maturin and
ziglang (pip install maturin ziglang); for x86-64 also nasm; for another processor its standard library
(rustup target add ARCH-unknown-linux-gnu). It downloads the crates it misses.'

say() { printf '== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Prints a folder of $work as a tar that knows nothing of this machine.
pack() {
    tar --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
        --mtime="@$SOURCE_DATE_EPOCH" -C "$work" -cf - "$1"
}

# Prints the crates in the binary for a target with their licences, then each licence's text once.
licences() {
    local crates file users
    crates=$(cargo tree --locked --offline --target "$1" --edges normal --prefix none \
        --format '{p}|{l}' | sed -E 's/^([^ ]+) v([^ |]+)[^|]*/\1-\2/; s/ \(\*\)$//' | sort -u | grep -v '^zsic-')
    echo 'zsic contains the crates below, each under its licence, and the Rust standard library (MIT OR Apache-2.0).'
    echo 'The texts follow. A crate with no text here came with none.'
    echo
    printf '%s\n' "${crates//|/: }"
    cut -d '|' -f 1 <<< "$crates" | while read -r crate; do
        find "vendor/$crate" -maxdepth 4 -type f -not -name '*.rs' \
            -iregex '.*/\(licen[cs]e\|copying\|copyright\|notice\|unlicense\)[^/]*' | sort
    done | xargs -d '\n' sha256sum | awk '
        { path = substr($0, 67); split(path, part, "/") }
        !($1 in users) { order[++count] = $1; file[$1] = path }
        !(($1, part[2]) in seen) { seen[$1, part[2]] = 1; users[$1] = users[$1] " " part[2] }
        END { for (i = 1; i <= count; i++) print file[order[i]] "|" users[order[i]] }' |
        while IFS='|' read -r file users; do
            printf '\n%s\n%s\n\n' "----------------------------------------" "Of$users:" | fold -s -w 100
            cat "$file"
        done
    printf '\n%s\nThe pictures:\n\n' "----------------------------------------"
    cat examples/images/README.md
}

case "${1-}" in
    -h | --help) echo "$usage" && exit ;;
esac
for arch in "$@"; do
    [[ $arch == aarch64 || $arch == x86_64 ]] || { echo "$usage" >&2 && exit 2; }
done

cd "$(dirname "$0")/.."
own=$(uname -m)
archs=$(printf '%s\n' "$own" "$@" | awk '!seen[$0]++')
[[ $(uname -s) == Linux ]] || fail 'release files are made on Linux'
for tool in git cargo cc xz python3 maturin; do
    command -v "$tool" > /dev/null || fail "$tool is not installed; tools/release.sh --help lists what is needed"
done
if [[ $archs == *x86_64* ]] && ! command -v nasm > /dev/null; then
    fail 'nasm is not installed: the JPEG and AV1 decoders would be built without their assembler, at half the speed'
fi
for arch in $archs; do
    [[ -d $(rustc --print target-libdir --target "$arch-unknown-linux-gnu") ]] ||
        fail "Rust's standard library for $arch is not installed: rustup target add $arch-unknown-linux-gnu"
done
python3 -c 'import ziglang' 2> /dev/null || fail "python3 has no ziglang, which links for old systems: pip install ziglang"
[[ $PWD != *[[:space:]]* ]] || fail "the compiler's flags take no spaces in the name of this folder: $PWD"
[[ -z $(git status --porcelain) ]] || fail 'the work tree has changes or untracked files: commit or remove them'

# The environment must not decide any byte: not its flags, its time zone, nor this folder.
for name in $(compgen -e | grep -E '^(CARGO_(PROFILE|BUILD|TARGET|ENCODED)_|MATURIN_|(C|CXX|LD)FLAGS)' || true); do
    unset "$name"
done
umask 022
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC CARGO_TARGET_DIR=$PWD/target
export RUSTFLAGS=--remap-path-prefix=$PWD=/zsic CFLAGS=-ffile-prefix-map=$PWD=/zsic CXXFLAGS=-ffile-prefix-map=$PWD=/zsic

commit=$(git rev-parse HEAD)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
work=$PWD/target/release-files
source_name=zsic-$version-source
dist=$PWD/dist
rm -rf "$dist" "$work"
mkdir -p "$dist" "$work/$source_name/.cargo"

say "Release notes of $version, from CHANGELOG.md"
notes=$dist/RELEASE_NOTES.md
awk -v heading="## $version" 'index($0, "## ") == 1 { on = index($0 " ", heading " ") == 1 } on' CHANGELOG.md > "$notes"
[[ -s $notes ]] || fail "CHANGELOG.md has no section for $version"
printf '\nMade from commit %s with %s, zig %s, %s%s.\n' "$commit" "$(rustc --version)" "$(python3 -m ziglang version)" \
    "$(maturin --version)" "$(nasm --version 2> /dev/null | sed -E 's/^(NASM version [^ ]+).*/, \1/')" >> "$notes"

say 'Source with all crates'
# -m: cargo must take all files for new, whatever an earlier commit left in target/.
git archive HEAD | tar -xm -C "$work/$source_name"
cd "$work/$source_name"
printf '{ "git": { "sha1": "%s" } }\n' "$commit" > .cargo_vcs_info.json
cargo vendor --quiet --locked --versioned-dirs > /dev/null
printf '[source.crates-io]\nreplace-with = "vendor"\n\n[source.vendor]\ndirectory = "vendor"\n' > .cargo/config.toml
# Two threads or more split the file in the same blocks, one does not.
pack "$source_name" | xz -6 -T2 > "$dist/$source_name.tar.xz"

share=zsic.data/data/share
put() { mkdir -p "$(dirname "$share/$1")" && cat > "$share/$1"; }

for arch in $archs; do # this machine's first: it prints what goes beside the others
    say "Binary for $arch, linked for glibc 2.17 and later"
    build=(maturin build --quiet --release --frozen --zig --compatibility manylinux2014 --features avif-simd)
    [[ $arch == "$own" ]] || build+=(--target "$arch-unknown-linux-gnu")
    "${build[@]}" --out "$work/wheel-$arch"
    python3 -m zipfile -e "$work/wheel-$arch"/*.whl "$work/wheel-$arch"
    binary_name=zsic-$version-$arch-linux
    zsic=$work/$binary_name/bin/zsic
    mkdir -p "$work/$binary_name/bin"
    install "$work/wheel-$arch/zsic-$version.data/scripts/zsic" "$zsic"
    for folder in "$CARGO_TARGET_DIR" "${CARGO_HOME:-$HOME/.cargo}"; do
        ! grep -aqF "$folder" "$zsic" || fail "the binary names a folder of this machine: $folder"
    done

    say 'Manual page, completions, licences'
    if [[ $arch == "$own" ]]; then
        env -i "$zsic" man | put man/man1/zsic.1
        env -i "$zsic" completions bash | put bash-completion/completions/zsic
        env -i "$zsic" completions zsh | put zsh/site-functions/_zsic
        env -i "$zsic" completions fish | put fish/vendor_completions.d/zsic.fish
        env -i "$zsic" completions powershell | put zsic/completions/_zsic.ps1
        put doc/zsic/LICENSE < LICENSE
        put doc/zsic/NOTICE < NOTICE
    fi
    licences "$arch-unknown-linux-gnu" | put doc/zsic/THIRD-PARTY.txt

    say 'Wheel and tarball with the same binary'
    "${build[@]}" --out "$work/whole-$arch"
    python3 -m zipfile -e "$work/whole-$arch"/*.whl "$work/check-$arch"
    cmp "$work/check-$arch/zsic-$version.data/scripts/zsic" "$zsic"
    mv "$work/whole-$arch"/*.whl "$dist"
    cp -r "$share" "$work/$binary_name/share"
    pack "$binary_name" | gzip -9n > "$dist/$binary_name.tar.gz"
done

say 'Sums'
cd "$dist"
sums=$(sha256sum -- *)
echo "$sums" | tee SHA256SUMS
