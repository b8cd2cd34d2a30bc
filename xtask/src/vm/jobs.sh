# stretch_turns FACTOR: a turn on the processor is as much longer as all that is done in it, or tasks would be preempted in the
# middle of what takes microseconds elsewhere (where the kernel has this to set: from 6.6 on)
stretch_turns() {
    local slice=/sys/kernel/debug/sched/base_slice_ns
    if [ -f $slice ]; then
        echo $(($(cat $slice) * $1)) >$slice
    fi
}

# job NAME COMMAND…: one of the things to do, and how it ended. What xtask is to know stands in lines that begin with `@vm`.
job() {
    local name=$1
    shift
    echo "@vm begin $name"
    "$@" 2>&1 </dev/null
    echo "@vm end $name $?"
}

# the last of them: a second serial line takes the recorded logs
finish() {
    if [ -d "$LOGS" ]; then
        stty -F /dev/ttyS1 raw -echo
        tar -c -C "$LOGS" . | gzip -1 -f >/dev/ttyS1
    fi
    echo "@vm done"
}
