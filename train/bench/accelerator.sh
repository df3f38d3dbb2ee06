#!/usr/bin/env bash
# What an accelerator that is lent for a quarter of an hour can be used for, in one command: tests, every layer in three
# precisions, the speed of every configuration, and with the time that is left the flagship is trained. docs/devices.md
set -uo pipefail

usage() {
    cat <<'END'
bash train/bench/accelerator.sh [--minutes 13] [--out FOLDER] [--bundles FOLDER...] [options]

  --minutes N       after which all is over and written
  --out FOLDER      for what is brought home: table.md, table.json, metrics.jsonl, log.txt, weights in pieces ($OUT, else build/accelerator)
  --bundles F...    what `python -m train.bench.pack` made; unpacked once
  --work FOLDER     for everything else; a second call goes on with what is there (runs/accelerator)
  --parts "P..."    of: unpack machine checks layers throughput training send (all)
  --model NAME      to train (spectral)
  --platform NAME   for jax, such as cuda,cpu or cpu (jax's own choice)
  --python COMMAND  (python3)
  --files N --mib N what the out folder may hold (8 files, 64 MiB); --piece_mib N of a piece (15.9: four fit)
  --reserve S       seconds kept for saving and writing at the end (50)
  --tiny            everything as small as it can be: a rehearsal on a CPU
END
}

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command_line="bash train/bench/accelerator.sh $*"
minutes=13 out=${OUT:-build/accelerator} work=runs/accelerator parts="unpack machine checks layers throughput training send"
model=spectral platform='' python=python3 files=8 mib=64 piece_mib=15.9 reserve=50 tiny=false bundles=()
while (($#)); do
    case $1 in
    --bundles)
        shift
        while (($#)) && [[ $1 != --* ]]; do bundles+=("$1") && shift; done
        continue
        ;;
    --minutes | --out | --work | --parts | --model | --platform | --python | --files | --mib | --piece_mib | --reserve)
        [[ $# -ge 2 ]] || { echo "error: $1: a value is missing" >&2; exit 2; }
        declare "${1#--}=$2"
        shift
        ;;
    --tiny) tiny=true ;;
    -h | --help) usage; exit ;;
    *) echo "error: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
[[ $minutes =~ ^[0-9]*\.?[0-9]+$ ]] || { echo "error: --minutes $minutes is no number" >&2; exit 2; }
[[ $reserve =~ ^[0-9]+$ ]] || { echo "error: --reserve $reserve is no number of seconds" >&2; exit 2; }
for name in $parts; do
    [[ " unpack machine checks layers throughput training send " == *" $name "* ]] ||
        { echo "error: --parts: there is no part $name" >&2; exit 2; }
done
total=$(awk "BEGIN { print int(60 * $minutes) }")

mkdir -p "$work" "$out" || exit 2
work=$(realpath "$work") out=$(realpath "$out")
results=$work/results.jsonl run=$work/run
export PYTHONPATH=$work/site:$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=2
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$work/xla}
[[ -n $platform ]] && export JAX_PLATFORMS=$platform

left() { echo $((total - SECONDS)); }
wanted() { [[ " $parts " == *" $1 "* ]]; }
say() { echo "=== $* ($SECONDS s)" | tee -a "$work/log.txt"; }

# A part that hangs, fails or is killed stops none of the others; whoever ends this script ends the part that runs, and
# what it had is still written.
child='' preparing='' stopped=false
trap 'stopped=true; [[ -n $child ]] && kill -TERM "$child" 2>/dev/null' TERM INT

trap '[[ -n $preparing ]] && kill "$preparing" 2>/dev/null' EXIT

# bounded SECONDS COMMAND...: SIGTERM after that time, SIGKILL when that has not helped
bounded() {
    local status
    timeout --kill-after="$grace" "$@" >>"$work/log.txt" 2>&1 </dev/null &
    child=$!
    wait "$child"
    status=$?
    while kill -0 "$child" 2>/dev/null; do # a signal that was passed on came first
        wait "$child"
        status=$?
    done
    child=''
    return "$status"
}
grace=2

# part NAME SECONDS COMMAND...: of 13 minutes so many seconds, of less less
part() {
    local name=$1 limit=$2 room status=null begun=$SECONDS
    shift 2
    wanted "$name" || return 0
    limit=$((limit * total / 780 + 1))
    for _ in 1 2 3; do
        room=$(($(left) - reserve))
        if $stopped || ((room < 3)); then
            say "$name: no time is left"
            break
        fi
        ((limit - (SECONDS - begun) < room)) && room=$((limit - (SECONDS - begun)))
        ((room > 0)) || break
        say "$name: at most $room s"
        bounded "$room" "$@"
        status=$?
        # 128 and a signal: it crashed: the case that did it is known, and not tried again
        [[ $status =~ ^(132|134|135|136|139)$ ]] || break
    done
    printf '{"part": "parts", "case": "%s", "status": %s, "seconds": %d}\n' "$name" "$status" $((SECONDS - begun)) >>"$results"
    say "$name: exit status $status"
    record
}

record() {
    timeout 20 "$python" -m train.bench.record "$results" --out "$out" --run "$run" --command "$command_line" >>"$work/log.txt" 2>&1
    tail -c 4000000 "$work/log.txt" >"$out/log.txt"
}

unpack() {
    [[ -e $work/travel/done ]] && return
    ((${#bundles[@]})) || return 0
    "$python" -m train.bench.pieces join "${bundles[@]}" --into "$work/travel"
    local status=$?
    if compgen -G "$work/travel/wheels/*.whl" >/dev/null; then
        "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$work/site" "$work"/travel/wheels/*.whl || status=$?
    fi
    ((status == 0)) && touch "$work/travel/done"
    return "$status"
}

if $tiny; then
    checks=(--test tests/zoo/test_golden.py)
    layers=(--batch_size 1 --frames 64 --channels 8 --repeat 1 --layer Conv1d LayerNorm)
    throughput=(--model "$model" --batch_size 1 --seconds 0.2 --repeat 1 --threads 1)
    matrices=(--size 64)
    training=(--data.threads 1 --data.prefetch 2 --evaluation.clips 1 --evaluation.clip_s 0.3 --evaluation.samples 1
        --evaluation.table_s 0.5 --log_every 1 --data.held_out 0 --model.width 16 --model.n_blocks 1
        --loss.complex_stft 0 --loss.audible_mel 0)
    export JAX_DISABLE_MOST_OPTIMIZATIONS=true # compiled in haste
else
    checks=() layers=() throughput=() matrices=()
    training=(--data.threads 12 --data.prefetch 24 --log_every 20)
fi

if wanted unpack; then
    say "unpack"
    # in a shell of its own, so that it is bounded like any other part
    export -f unpack
    export work python
    part unpack 60 bash -c 'bundles=("$@"); unpack' unpack ${bundles[@]+"${bundles[@]}"}
fi

# decoded once, beside the parts that leave the processors alone; else crops are read from the files themselves
audio=$work/travel/audio
if wanted training && [[ -d $audio && ! -e $work/shards/index.json ]]; then
    JAX_PLATFORMS=cpu nice -n 19 "$python" -m train prepare "$audio" "$work/shards" >>"$work/prepare.txt" 2>&1 </dev/null &
    preparing=$!
fi

part machine 40 "$python" -m train.bench.machine --output "$results" ${matrices[@]+"${matrices[@]}"}
# memory as it is needed: some tests start processes of their own
XLA_PYTHON_CLIENT_PREALLOCATE=false JAX_DEFAULT_MATMUL_PRECISION=float32 part checks 150 "$python" -m train.bench.checks --output "$results" ${checks[@]+"${checks[@]}"}
part layers 110 "$python" -m train.bench.layers --output "$results" ${layers[@]+"${layers[@]}"}
part throughput 200 "$python" -m train.bench.throughput --output "$results" ${throughput[@]+"${throughput[@]}"}

if [[ -n $preparing ]]; then
    for ((n = ($(left) - reserve) / 5; n > 0; n--)); do # a fifth of the time that training has
        $stopped || ! kill -0 "$preparing" 2>/dev/null && break
        sleep 1
    done
    kill "$preparing" 2>/dev/null
    preparing=''
fi
if wanted training && ! $stopped; then
    # a run that came along is continued if its training's state did too, else a new one begins with its weights
    came=$work/travel/run
    begin=(--resume)
    if [[ -d $came && ! -d $run ]]; then
        if compgen -G "$came/checkpoints/*/training" >/dev/null; then
            cp -r "$came" "$run"
        else
            begin=(--init "$came")
        fi
    fi
    [[ -e $work/shards/index.json ]] && audio=$work/shards
    [[ -d $audio ]] && training+=(--data.root "$audio")
    done_steps=$(ls "$run/checkpoints" 2>/dev/null | grep -E '^[0-9]+$' | sort -n | tail -n 1)
    read -r batch dtype products steps < <("$python" -m train.bench.choice "$results" --model "$model" \
        --seconds $(($(left) - reserve)) --done "${done_steps:-0}" $($tiny && echo --batch_size 1))
    training+=(--batch_size "${batch:-32}" --precision "${dtype:-float32}" --steps "${steps:-2000}" --checkpoint_every $((${steps:-2000} / 4 + 1)))
    JAX_DEFAULT_MATMUL_PRECISION=${products:-tensorfloat32}
    export JAX_DEFAULT_MATMUL_PRECISION
    grace=$((reserve / 2)) # to end the step it is in, and save
    part training 99999 "$python" -m train --model "$model" --workdir "$run" "${begin[@]}" --no-tensorboard --data.accept_changes "${training[@]}"
    timeout 20 "$python" -m train.bench.latest "$run" --outbox "$work/outbox" --piece_mib "$piece_mib" >>"$work/log.txt" 2>&1
fi
[[ $parts == send ]] || record # there is more room for pieces without
if wanted send; then
    # last, since it fills what is left of the out folder; what does not fit is sent by a call with --parts send
    timeout 20 "$python" -m train.bench.pieces post "$work/outbox" --out "$out" --files "$files" --mib "$mib" 2>&1 | tee -a "$work/log.txt"
fi
say "over, $(left) s before the end"
sed -n '1,60p' "$out/table.md" 2>/dev/null
exit 0
