# Functions for the plan. Each writes sections to standard output: `=== NAME`, then lines. The host evaluates them.

GROUPS_AT=/sys/fs/cgroup
STATE=
DAEMON=

section() { echo "=== $1"; }

# kernel: the kernel that was booted.
kernel() {
    section kernel/release
    uname -r
    section kernel/lockdown
    cat /sys/kernel/security/lockdown
    echo "+memory +cpuset" >$GROUPS_AT/cgroup.subtree_control
    # The table of all tasks is long, and no test reads it.
    echo 0 >/proc/sys/vm/oom_dump_tasks
    # Protects this shell and its children. Programs of a scenario set their own value.
    echo -1000 >/proc/$$/oom_score_adj
}

# doctor NAME ARGUMENT...
doctor() {
    name=$1
    shift
    memtrace doctor -o json "$@" >/run/diagnosis
    code=$?
    section "$name/diagnosis"
    cat /run/diagnosis
    section "$name/exit"
    echo $code
}

# events: memtrace's tests of the events from the kernel, with each kind of hook, of limits of cgroup v2, and of `memtrace
# run` there. Skips long tests of the daemon's bookkeeping, which do not depend on the kernel. The kernel must be able to
# kill the programs of the tests, so these are not protected like this shell.
events() {
    (
        echo 0 >/proc/self/oom_score_adj
        MEMTRACE_TEST_PROGRAMS=/tests MEMTRACE_BIN=/bin/memtrace exec \
            /tests/root --test-threads=1 events:: cgroups::a_cgroup_comes \
            scenarios::growth::a_limit_lowered \
            runs::a_kill_is_told runs::delegated:: runs::groups_that runs::what_the_command_leaves \
            runs::moments::a_signal_is \
            --skip over_its_budget --skip own_memory
    ) >/run/printed 2>&1
    code=$?
    section events/printed
    cat /run/printed
    section events/exit
    echo $code
}

# allocators: runs programs of a small Debian and shows which allocators the daemon recognises in them.
allocators() {
    mkdir -p /small
    mount -t ext4 -o ro /dev/nvme0n1 /small
    for dir in proc dev tmp; do mount -o bind /$dir /small/$dir; done
    group allocators
    in_debian redis redis-server --port 0 --save "" --unixsocket /tmp/redis
    in_debian python3 python3 -c "
kept = [bytes(400) for _ in range(20000)] + [bytes(4000) for _ in range(2000)]
open('/tmp/python', 'w').close()
import signal
signal.pause()"
    until_true test -e /tmp/python
    until_true test -e /tmp/redis
    until_true are_recognised
    section allocators/programs
    cat /run/programs
    section allocators/snapshot
    cat /run/snapshot
    while read -r _ left; do kill -9 "$left"; wait "$left"; done </run/programs
    until_true rmdir $GROUPS_AT/allocators
    umount /small/proc /small/dev /small/tmp /small
}

# in_debian NAME COMMAND ARGUMENT...
in_debian() {
    name=$1
    shift
    sh -c 'echo $$ >"$0/allocators/cgroup.procs"; exec chroot /small "$@"' "$GROUPS_AT" "$@" >/dev/null 2>&1 &
    echo "$name $!" >>/run/programs
}

# As much as the host wants to see (xtask: vm/allocators), and read to the end: what the daemon had no time for yet it
# says itself.
are_recognised() {
    memtrace top --once --by arena -o csv --fields pid,allocator,resident_bytes --top 10000 \
        --socket "$STATE/socket" >/run/arenas
    memtrace top --once -o json --socket "$STATE/socket" >/run/snapshot
    holds python3 cpython 8000 && holds python3 glibc 8000 && holds redis jemalloc 256 &&
        ! grep -q '"stale": *"' /run/snapshot
}

# holds PROGRAM ALLOCATOR KIB: whether the program was seen to have so much of it.
holds() {
    awk -F, -v pid="$(pid "$1")" -v allocator="$2" -v kib="$3" \
        '$2 == pid && $3 == allocator { sum += $4 } END { exit sum < kib * 1024 }' /run/arenas
}

# daemon NAME ARGUMENT...: starts a daemon with its own store; one at a time.
daemon() {
    STATE=/run/$1
    shift
    mkdir "$STATE"
    : >"$STATE.seen"
    memtrace daemon --state-dir "$STATE" --socket "$STATE/socket" "$@" 2>"$STATE.log" &
    DAEMON=$!
    until_true grep -q watching "$STATE.log"
}

# end_daemon NAME
end_daemon() {
    kill -TERM $DAEMON
    wait $DAEMON
    code=$?
    section "$1/exit"
    echo $code
    section "$1/log"
    cat "$STATE.log"
}

# until_true COMMAND...: a backstop ends it after some minutes, which no machine is too slow for.
until_true() {
    tenths=3000
    while [ "$tenths" -gt 0 ]; do
        "$@" && return 0
        sleep 0.1
        tenths=$((tenths - 1))
    done
    echo "not true in five minutes: $*" >&2
    return 1
}

# looked_at: when the daemon looked last.
looked_at() { memtrace top --once -o json --socket "$STATE/socket" | grep -o '"time": *"[^"]*"' | head -n 1; }

# has_looked_since TIME
has_looked_since() { [ "$(looked_at)" != "$1" ]; }

# looks COUNT: until the daemon has looked so often.
looks() {
    for _ in $(seq "$1"); do
        last=$(looked_at)
        until_true has_looked_since "$last"
    done
}

# group PATH [FILE VALUE]...: creates a memory cgroup. Its parents must exist.
group() {
    path=$1
    shift
    parent=$(dirname "$path")
    echo +memory >"$GROUPS_AT/$parent/cgroup.subtree_control"
    mkdir "$GROUPS_AT/$path"
    echo "$path" >>/run/groups
    while [ $# -gt 1 ]; do
        echo "$2" >"$GROUPS_AT/$path/$1"
        shift 2
    done
}

# start COMM GROUP ADJ STEP...: starts a program in the background; see vm/programs/eat.c.
start() {
    comm=$1 home=$2 adj=$3
    shift 3
    eat group "$GROUPS_AT/$home" adj "$adj" comm "$comm" "$@" &
    echo "$comm $!" >>/run/programs
}

# pid COMM
pid() { sed -n "s/^$1 //p" /run/programs; }

# ready NAME: until the program has taken the step `ready NAME`.
ready() { until_true test -e "/run/ready.$1"; }

# ended COMM...: waits until these programs have ended.
ended() {
    for comm; do wait "$(pid "$comm")"; done
}

kills() { sed -n 's/^oom_kill //p' /proc/vmstat; }

records() { memtrace report list -o json --state-dir "$STATE" | sed -n 's/.*"id": "\(.*\)",*/\1/p'; }

# victims: the thread ids of the victims in new records. A group killed as a whole is one record with several victims.
victims() {
    for id in $(records); do
        grep -q "^$id$" "$STATE.seen" && continue
        memtrace report show "$id" -o json --state-dir "$STATE" |
            sed -n '/^  "victim": /,/^  }/p; /^  "more_victims": /,/^  \]/p' | sed -n 's/^ *"tid": \([0-9]*\),*$/\1/p'
    done
}

# are_recorded PID...
are_recorded() {
    recorded=" $(victims | tr '\n' ' ')"
    for pid; do
        case $recorded in
            *" $pid "*) ;;
            *) return 1 ;;
        esac
    done
}

# scenario NAME SCRIPT: runs the script between two readings of the kernel's counters, and shows the new records.
scenario() {
    name=$1
    : >/run/groups
    : >/run/programs
    rm -f /run/ready.*
    dmesg -c >/dev/null
    before=$(kills)
    . "/vm/scenarios/$2"
    # The kernel logs a kill after it has marked the last victim. memtrace lists a record once it is on disk.
    killed=$(dmesg | sed -n 's/.*Killed process \([0-9]*\) .*/\1/p' | sort -u)
    # Where nothing is to be recorded, the daemon has had the time for it.
    [ -z "$killed" ] && looks 2
    until_true are_recorded $killed
    section "$name/programs"
    cat /run/programs
    section "$name/kills"
    echo $(($(kills) - before))
    section "$name/events"
    while read -r path; do
        echo "/$path" $(cat "$GROUPS_AT/$path/memory.events.local")
    done </run/groups
    section "$name/log"
    dmesg
    for id in $(records); do
        grep -q "^$id$" "$STATE.seen" && continue
        echo "$id" >>"$STATE.seen"
        section "$name/record"
        memtrace report show "$id" -o json --state-dir "$STATE"
    done
    while read -r _ left; do kill -9 "$left" 2>/dev/null; done </run/programs
    while read -r _ left; do wait "$left"; done </run/programs
    sort -r /run/groups | while read -r path; do until_true rmdir "$GROUPS_AT/$path"; done
}
