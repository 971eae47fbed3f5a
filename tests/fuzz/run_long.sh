#!/usr/bin/env bash
# A long run of one fuzz target under AddressSanitizer and UndefinedBehaviorSanitizer:
#
#     tests/fuzz/run_long.sh TARGET [EXECUTIONS [SEED]]      e.g. tests/fuzz/run_long.sh lanes_decode 100000000 1
#
# TARGET is a tests/fuzz/*.cpp without its ending. With a clang++ that has libFuzzer the inputs are guided by coverage,
# and kept from run to run; else the target's own program makes them, from SEED alone. ENGINE=standalone chooses that one
# in any case; CLANGXX and CXX choose other compilers. What is built, found and kept lies in FUZZ_DIR, else build/fuzz.
#
# It ends at the first finding, with status 1. Its last lines are the executions, how many a second, and the findings;
# the input of a finding is in FUZZ_DIR/TARGET/found, the whole report in FUZZ_DIR/TARGET/log, and `FUZZ_DIR/TARGET/fuzz FILE` runs
# the input again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD target=${1:?which target?} executions=${2:-1000000} seed=${3:-1}
[ -f "tests/fuzz/$target.cpp" ] || { echo "no tests/fuzz/$target.cpp"; exit 2; }
room=${FUZZ_DIR:-$root/build/fuzz}/$target
rm -rf "$room/objects" "$room/found"
mkdir -p "$room/objects" "$room/found" "$room/corpus"
room=$(cd "$room" && pwd)

flags=(-std=c++17 -O1 -g -pthread -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all "-I$root/csrc")
echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' > "$room/objects/probe.cpp"
compiler=${CLANGXX:-clang++} engine=libFuzzer
if [ "${ENGINE:-}" = standalone ] ||
  ! "$compiler" -fsanitize=fuzzer,address,undefined "$room/objects/probe.cpp" -o "$room/objects/probe" 2> /dev/null; then
  compiler=${CXX:-g++} engine=standalone
  flags+=(-D_GLIBCXX_ASSERTIONS -DSCALECODEC_FUZZ_STANDALONE)
fi

"$compiler" "${flags[@]}" -c "tests/fuzz/$target.cpp" -o "$room/objects/target.o"
# What guides the inputs is the core's coverage, not the target's.
guide=()
[ "$engine" = standalone ] || guide=(-fsanitize-coverage=inline-8bit-counters,pc-table)
for source in csrc/*.cpp; do
  case $source in csrc/module*) continue ;; esac
  "$compiler" "${flags[@]}" ${guide[@]+"${guide[@]}"} -c "$source" -o "$room/objects/core_$(basename "$source" .cpp).o"
done
[ "$engine" = standalone ] || flags+=(-fsanitize=fuzzer)
"$compiler" "${flags[@]}" "$room"/objects/*.o -o "$room/fuzz"

cd "$room/found"
# A start: what guides the inputs must meet the core at least once.
[ "$engine" = standalone ] || head -c 64 /dev/zero > "$room/corpus/zeros"
options=(-runs="$executions" -seed="$seed")
[ "$engine" = standalone ] || options+=(-max_len=4096 -timeout=60 -rss_limit_mb=8192 -detect_leaks=0 -entropic_scale_per_exec_time=1 "$room/corpus")
since=$SECONDS status=0
"$room/fuzz" "${options[@]}" > "$room/log" 2>&1 || status=$?
spent=$((SECONDS - since))
grep -vE '^(#|"|INFO:|\s+NEW_FUNC)' "$room/log" | tail -n 40 || true
# Where a run ended early, its last report says how far it had come.
done=$(grep -oE '^#[0-9]+|[0-9]+ executions' "$room/log" | tail -n 1 | tr -dc 0-9 || true)
found=$(find . -type f | wc -l)
echo "$target by $engine, seed $seed: ${done:-0} executions in $spent s, $((${done:-0} / (spent ? spent : 1))) a second; $found findings, status $status"
[ "$status" -eq 0 ] && [ "$found" -eq 0 ]
