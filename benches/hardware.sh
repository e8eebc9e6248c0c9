#!/usr/bin/env bash
# Tests and times zsic on a machine with an NVIDIA GPU and a CPU with AMX, with programs built elsewhere.
set -uo pipefail

usage='Usage: benches/hardware.sh [--rehearse] ARCHIVE [PART ...]
       benches/hardware.sh --pack OUT.tar.xz FOLDER

Runs all parts, or the given ones, and ends with a table. ARCHIVE is what --pack made, or a folder
with the same files. Logs and table go to $OUT, by default a new folder; checkpoints and photographs to $WORK,
by default /tmp/zsic-hardware. It stops after $MOST seconds, by default 470. python3 (or $PYTHON) needs torch, torchvision, transformers, pillow.

Parts: machine make cpu-tests doctor gpu-tests gpu-operations gpu-bits gpu-numbers gpu-towers gpu-folder amx

--rehearse  try everything in small on a machine without a GPU: the CPU stands in
--pack      strip and pack these files of FOLDER, of which any may be missing: zsic tower_speed unit
            integration kernels, built with the feature cuda; and root, the path that the tests were
            built at (by default this repository)'

declare -A LIMIT=([machine]=20 [make]=75 [cpu-tests]=100 [doctor]=20 [gpu-tests]=70 [gpu-operations]=35 [gpu-bits]=45 [gpu-numbers]=50
    [gpu-towers]=200 [gpu-folder]=45 [amx]=195)
PARTS=(machine make cpu-tests doctor gpu-tests gpu-operations gpu-bits gpu-numbers gpu-towers gpu-folder amx)
PROGRAMS=(zsic tower_speed unit integration kernels)
REPO=$(cd "$(dirname "$0")/.." && pwd)
PYTHON=${PYTHON:-python3}

fail() { printf 'error: %s\n' "$*" >&2; exit 2; }
result() { printf '= %s\n' "$*"; }
skip() { result "skipped: $*"; exit 0; }
# Skips a part unless the archive has these programs.
need() { local name; for name; do [[ -x $BIN/$name ]] || skip "the archive has no $name"; done; }
need_made() { local name; for name; do [[ -e $WORK/$name ]] || skip "$name was not made"; done; }
need_gpu() { [[ $DEVICE == cpu ]] || nvidia-smi > /dev/null 2>&1 || skip 'no NVIDIA GPU'; }
gpu_py() { "$PYTHON" "$REPO/benches/rivals/gpu.py" "$@" || { failed=1; return 1; }; }

pack() {
    local folder=$2 made name
    [[ $1 == *.tar.xz && -d $folder ]] || fail "$usage"
    made=$(mktemp -d)
    for name in "${PROGRAMS[@]}"; do
        [[ ! -f $folder/$name ]] || strip -o "$made/$name" "$folder/$name" || cp "$folder/$name" "$made/$name"
    done
    if [[ -f $folder/root ]]; then cp "$folder/root" "$made/root"; else echo "$REPO" > "$made/root"; fi
    for name in "$made"/{unit,integration}; do
        [[ ! -f $name ]] || grep -aqF "$(< "$made/root")/" "$name" ||
            echo "warning: ${name##*/} was not built in $(< "$made/root"): it would not find its fixtures" >&2
    done
    tar --sort=name -C "$made" -cf - . | xz -9 -T0 > "$1"
    ls -l "$made" "$1"
    rm -r "$made"
}

# Prints the CPUs of this process as lines "CPU [SIBLING ...]", one for each core.
cores() {
    local allowed
    allowed=$("$PYTHON" -c 'import os; print(*os.sched_getaffinity(0))')
    lscpu -p=CPU,CORE,SOCKET | awk -F, -v allowed=" $allowed " '
        !/^#/ && index(allowed, " " $1 " ") { key = $2 "," $3; if (!(key in cpus)) order[++n] = key; cpus[key] = cpus[key] " " $1 }
        END { for (i = 1; i <= n; i++) print substr(cpus[order[i]], 2) }'
}

# Puts what the tests were built with where they look for it: the repository, and the command.
place_root() {
    local root first exe
    root=$(< "$BIN/root")
    [[ -e $root ]] || { mkdir -p "$(dirname "$root")" && ln -s "$REPO" "$root"; }
    [[ -f $BIN/integration ]] || return 0
    first=$(cut -d / -f 2 <<< "$root")
    exe=$(LC_ALL=C grep -aoP "/$first/[\\w./-]*?/(release|debug)/zsic" "$BIN/integration" | head -n 1)
    exe=/$first/${exe##*/"$first"/}
    [[ $exe != "/$first/" ]] && [[ -L $exe || ! -e $exe ]] || return 0
    mkdir -p "$(dirname "$exe")" "$(dirname "$(dirname "$exe")")/tmp"
    ln -sfn "$BIN/zsic" "$exe"
}

# Runs a program of tests: its counts, and the names of the tests that failed.
tests() {
    local name=$1 log rc counts
    log=$(mktemp)
    shift
    (cd "$REPO" && "$BIN/$name" "$@") 2>&1 | tee "$log"
    rc=${PIPESTATUS[0]}
    counts=$(sed -n 's/^test result: \(.*\) measured.*/\1/p' "$log")
    result "$name $*: ${counts:-no result, exit status $rc: $(tail -n 1 "$log")}"
    sed -n 's/^test \(.*\) \.\.\. FAILED$/=   failed: \1/p' "$log"
    grep --no-group-separator -A1 panicked "$log" | head -n 9 | cut -c 1-150 | sed 's/^/=     /'
    rm "$log"
    ((rc == 0)) || failed=1
}

part_machine() {
    result "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2> /dev/null || echo 'no NVIDIA GPU')"
    result "$(lscpu | sed -n 's/^Model name: *//p'): $(grep -m1 ^flags /proc/cpuinfo | tr ' ' '\n' |
        grep -E '^(avx2|avx512f|avx512_bf16|amx_.*)$' | tr '\n' ' ')"
    result "cores (vCPUs of each): $(cores | tr ' \n' '+ ')"
    result "$("$PYTHON" -c 'import sys
from importlib.metadata import version
print("python", sys.version.split()[0], *(f"{name} {version(name)}" for name in ("torch", "torchvision", "transformers")))' 2>&1 |
        tail -n 1)"
    result "programs: $(cd "$BIN" && echo *)"
}

# Makes a checkpoint, unless it is there from an earlier run.
make_clip() {
    [[ ! -e $WORK/$1/made ]] || return 0
    "$PYTHON" "$REPO/benches/rivals/make_clip.py" "$WORK" "${@:2}" && touch "$WORK/$1/made"
}

part_make() {
    local pids=() pid
    gpu_py photos "$WORK/photos" "$PHOTOS" & pids+=($!)
    if ((REHEARSE)); then
        make_clip clip-b32-outliers --outliers --layers 1 b32
        ln -sfn clip-b32-outliers "$WORK/clip-b32"
        ln -sfn clip-b32-outliers "$WORK/clip-l14"
    else
        make_clip clip-b32 b32 & pids+=($!)
        make_clip clip-b32-outliers --outliers b32 & pids+=($!)
        make_clip clip-l14 l14 & pids+=($!)
    fi
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
    result "$(du -shc "$WORK"/clip-*/model.safetensors | tail -n 1 | cut -f 1) of checkpoints in $WORK"
}

part_cpu-tests() {
    export RUST_TEST_THREADS=4 ZSIC_TEST_DEVICE=cpu
    if [[ -x $BIN/unit ]]; then tests unit kernels:: model:: cache:: --skip cuda; else result 'no unit in the archive'; fi
    need integration
    tests integration parity siglip bits:: --skip gpu::
}

part_doctor() {
    need zsic
    local log
    log=$("$BIN/zsic" doctor --offline 2>&1) || failed=1
    printf '%s\n' "$log"
    sed -n -E "s/^((cuda|gpu|amx|cpu a).*)/=   \1/p" <<< "$log"
    result "$(tail -n 1 <<< "$log")"
}

part_gpu-tests() {
    need_gpu
    export RUST_TEST_THREADS=4 ZSIC_TEST_DEVICE=$DEVICE
    if [[ -x $BIN/unit ]]; then tests unit cuda; else result 'no unit in the archive'; fi
    need integration
    tests integration parity siglip naflex open_clip other_clip
}

# Times each operation of a block, in microseconds.
part_gpu-operations() {
    need unit
    need_gpu
    "$BIN/unit" cuda::tests::speed --ignored --nocapture --test-threads=1 | sed -n -E 's|^(.*(L/14\|B/32) .*\|[0-9]+ x .*)$|=   \1|p'
    ((PIPESTATUS[0] == 0)) || failed=1
}

# Compares embeddings of 256 photographs in batches of several sizes, byte for byte: the last is of many groups of L/14's rows.
bits_of() {
    local checkpoint=$1 precision=$2 first="" size out same=() wrong=()
    for size in 1 7 64 256; do
        out=$WORK/bits/$checkpoint-$precision-$size.safetensors
        "$BIN/zsic" embed "$WORK/bits/photos" -m "$WORK/$checkpoint" --device "$DEVICE" --precision "$precision" \
            --batch-size "$size" --max-wait 60000 --no-cache --offline -q -o "$out" || { wrong+=("$size did not run"); continue; }
        : "${first:=$out}"
        if cmp "$first" "$out"; then same+=("$size"); else wrong+=("$size differs"); fi
    done
    result "$checkpoint $precision: batches of ${same[*]} have the same bits${wrong:+; WRONG: ${wrong[*]}}"
    [[ -z ${wrong[*]} ]]
}

part_gpu-bits() {
    need zsic
    need_made clip-b32/made clip-l14/made photos
    need_gpu
    local pids=() pid precision checkpoint
    rm -rf "$WORK/bits"
    mkdir -p "$WORK/bits/photos"
    find "$WORK/photos" -name '*.jpg' | sort | head -n 256 | xargs -d '\n' ln -t "$WORK/bits/photos"
    for checkpoint in clip-b32 clip-l14; do
        pids=()
        for precision in f32 auto $BF16; do bits_of "$checkpoint" "$precision" & pids+=($!); done
        for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
        ((REHEARSE)) && break
    done
}

part_gpu-numbers() {
    need zsic
    need_made photos clip-b32/made clip-b32-outliers/made clip-l14/made
    need_gpu
    local names=(clip-b32 clip-b32-outliers clip-l14)
    ((REHEARSE)) && names=(clip-b32-outliers)
    ZSIC=$BIN/zsic gpu_py numbers "$WORK/photos" "${names[@]/#/$WORK/}" --device "$DEVICE"
}

part_gpu-towers() {
    need tower_speed
    need_made clip-b32/made clip-l14/made
    need_gpu
    export TOWER_SPEED=$BIN/tower_speed
    result "images a second; zsic is fed bytes on the host, PyTorch numbers on the GPU or, in the row 'bytes', as zsic"
    if ((REHEARSE)); then
        gpu_py towers "$WORK/clip-b32" --device cpu --zsic auto,f32 --torch f32 --batches 1,2 --seconds $((LEFT - SECONDS - 3))
        return
    fi
    on_gpu() { gpu_py towers "$@" --seconds $((LEFT - SECONDS - 3)); }
    on_gpu "$WORK"/clip-{l14,b32} --zsic bf16 --torch bf16
    on_gpu "$WORK"/clip-{l14,b32} --zsic auto,f32 --torch f32 --batches 1,8,32,128
    on_gpu "$WORK"/clip-{l14,b32} --zsic '' --torch bf16 --batches 128 --compile
    ((LEFT - SECONDS < 25)) || on_gpu "$WORK/clip-l14" --zsic f16 --torch f16 --batches 128
}

part_gpu-folder() {
    need zsic
    need_made photos clip-b32/made
    need_gpu
    local run precision size log
    for run in ${BF16:-f32}:128 bf16:128 bf16:256 auto:128; do
        precision=${run%:*} size=${run#*:}
        log=$("$BIN/zsic" classify "$WORK/photos" -l fox,bear,owl -m "$WORK/clip-b32" --device "$DEVICE" \
            --precision "$precision" --batch-size "$size" --stats --no-cache --offline --format jsonl 2>&1 > /dev/null) || failed=1
        printf '%s\n' "$log"
        result "$precision, batches of $size: $(grep -E ' images in ' <<< "$log" || tail -n 1 <<< "$log")"
        awk '/^ +decode/ { print "=   decode alone, by its own time: " $2 " s of " $5 " threads, so at most " n * $5 / $2 " images/s" }' \
            n="$PHOTOS" <<< "$log"
        ((REHEARSE)) && break
    done
}

part_amx() {
    local list one two siblings places
    mapfile -t list < <(cores)
    one=${list[0]%% *}
    two=$one,$(cut -d ' ' -f 1 <<< "${list[1]:-$one}")
    siblings=${list[0]// /,}
    # Where the machine hides which vCPUs share a core, neighbours may.
    [[ $siblings == *,* ]] || { two=$one,$(cut -d ' ' -f 1 <<< "${list[2]:-${list[0]}}"); siblings=$one,${list[1]:-$one}; }
    ((REHEARSE)) && two=${siblings/ /,}
    places=("one thread=$one" "two siblings=$siblings" "two cores=$two")
    grep -qw amx_bf16 /proc/cpuinfo || result 'this CPU has no AMX: what follows ran without'
    if [[ -x $BIN/kernels ]]; then
        local filter='^(peak|product [0-9x ]+)/(amx, Bf16|amx, Split)$'
        ((REHEARSE)) && filter='^peak/avx2'
        KERNELS=$BIN/kernels CRITERION_HOME=$WORK/criterion gpu_py kernels "$filter" "${places[@]}"
    else
        result 'no kernels in the archive'
    fi
    need tower_speed
    need_made clip-b32/made clip-l14/made
    ((!REHEARSE)) || skip 'the towers, as gpu-towers has tried the same'
    export TOWER_SPEED=$BIN/tower_speed
    on_two() { taskset -p -c "$two" $BASHPID > /dev/null; gpu_py towers --device cpu "$@" --seconds $((LEFT - SECONDS - 3)); }
    result "images a second on vCPUs $two, 2 threads"
    on_two "$WORK/clip-l14" --zsic bf16 --torch bf16 --batches 1,8
    on_two "$WORK/clip-b32" --zsic bf16 --torch bf16 --batches 1,8,32
    on_two "$WORK/clip-b32" --zsic auto,f32 --torch f32 --batches 1,8,32
    on_two "$WORK/clip-l14" --zsic auto --torch f32 --batches 1,8
    ((LEFT - SECONDS < 35)) || on_two "$WORK/clip-l14" --zsic bf16 --torch bf16 --batches 32
    ((LEFT - SECONDS < 20)) || on_two "$WORK/clip-l14" --zsic f32 --torch f32 --batches 1
}

# Runs a part with its limit, on these CPUs, and keeps its row of the table.
run() {
    local part=$1 cpus=$2 start=$SECONDS rc=0 limit=${LIMIT[$1]} status
    ((limit <= END - SECONDS)) || limit=$((END - SECONDS))
    ((limit > 2)) || { echo "$part 0 no time left" > "$WORK/rows/$part"; return; }
    LEFT=$limit timeout -k 5 "$limit" taskset -c "$cpus" bash "$0" --one "$part" > "$OUT/$part.log" 2>&1 || rc=$?
    case $rc in
        0) status='done' ;;
        124 | 137) status="STOPPED after $limit s" ;;
        *) status=FAILED ;;
    esac
    echo "$part $((SECONDS - start)) $status" > "$WORK/rows/$part"
    printf '[%3d s] %s: %s\n' "$SECONDS" "$part" "$status"
}

wanted() { local part; for part; do [[ " ${chosen[*]} " != *" $part "* ]] || echo "$part"; done; }
chain() { local cpus=$1 part; shift; for part in $(wanted "$@"); do run "$part" "$cpus"; done; }

table() {
    local part seconds status
    printf '\n%-12s %7s  %s\n' part seconds result
    for part in $(wanted "${PARTS[@]}"); do
        read -r part seconds status < "$WORK/rows/$part" || continue
        printf '%-12s %7s  %s\n' "$part" "$seconds" "$status"
        [[ ! -f $OUT/$part.log ]] || sed -n 's/^= /    /p' "$OUT/$part.log"
        [[ $status == 'done' || ! -s $OUT/$part.log ]] || grep -v '^= ' "$OUT/$part.log" | tail -n 3 | cut -c 1-160 | sed 's/^/    | /'
    done
}

prepare() {
    export BIN WORK OUT REHEARSE DEVICE PHOTOS BF16 REPO PYTHON
    WORK=${WORK:-/tmp/zsic-hardware}
    ((!REHEARSE)) || WORK+=-rehearsal
    OUT=${OUT:-$(mktemp -d)}
    mkdir -p "$OUT" "$WORK/rows"
    BIN=$WORK/bin
    rm -rf "$BIN"
    mkdir -p "$BIN"
    if [[ -d $1 ]]; then cp -L "$1"/* "$BIN"; else tar -xJf "$1" -C "$BIN"; fi || fail "cannot unpack $1"
    [[ -f $BIN/root ]] || echo "$REPO" > "$BIN/root"
    place_root
    local libs
    libs=$("$PYTHON" -c 'import glob, site, sys
print(*(f for p in sys.path for f in glob.glob(p + "/nvidia/*/lib") + glob.glob(p + "/torch/lib")), sep=":")')
    export LD_LIBRARY_PATH=$libs:/usr/local/nvidia/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error HF_HUB_DISABLE_PROGRESS_BARS=1 TOKENIZERS_PARALLELISM=false
    export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONWARNINGS=ignore ZSIC_CACHE_DIR=$WORK/cache RUST_BACKTRACE=0
}

main() {
    local archive list half all cpu gpu other
    REHEARSE=0 DEVICE=cuda PHOTOS=4000 BF16=bf16 END=${MOST:-470}
    [[ ${1-} != --rehearse ]] || { REHEARSE=1 DEVICE=cpu PHOTOS=64 BF16='' END=48; shift; }
    archive=${1-}
    [[ -e $archive ]] || fail "$usage"
    shift
    chosen=("${@:-${PARTS[@]}}")
    prepare "$archive"
    echo "logs in $OUT"
    mapfile -t list < <(cores)
    half=$((${#list[@]} / 2))
    all=$(printf '%s\n' "${list[@]}" | tr -s ' \n' ',')
    all=${all%,}
    chain "$all" machine make gpu-folder
    if ((${#list[@]} >= 4)); then # the CPU's parts and the GPU's at once, on different cores
        cpu=$(printf '%s ' "${list[@]:0:half}") gpu=$(printf '%s ' "${list[@]:half}")
        cpu=${cpu% } gpu=${gpu% }
        chain "${cpu// /,}" cpu-tests amx & other=$!
        chain "${gpu// /,}" doctor gpu-tests gpu-operations gpu-bits gpu-numbers gpu-towers
        wait "$other"
    else
        chain "$all" cpu-tests amx doctor gpu-tests gpu-operations gpu-bits gpu-numbers gpu-towers
    fi
    table | tee "$OUT/table.txt"
    (cd "$OUT" && tar -czf logs.tar.gz ./*.log && rm ./*.log)
}

case ${1-} in
    --one) failed=0; "part_$2"; exit "$failed" ;;
    --pack) shift; pack "${1-}" "${2-}" ;;
    -h | --help) echo "$usage" ;;
    *) main "$@" ;;
esac
