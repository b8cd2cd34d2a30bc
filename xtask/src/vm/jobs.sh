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
