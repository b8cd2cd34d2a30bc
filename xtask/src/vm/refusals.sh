# What gracetrace does where a kernel does not let it trace: one line that says so, and exit code 1. Last of all that is done on a
# machine, for a kernel stays locked down until it is booted anew.

# refuses NAME TEXT: as a test of that name
refuses() {
    local said code verdict
    said=$(/vm/gracetrace run -- true 2>&1 </dev/null)
    code=$?
    verdict=FAILED
    case "$code $said" in
    "1 "*"$2"*)
        if [ "$(echo "$said" | wc -l)" = 1 ]; then
            verdict=ok
        fi
        ;;
    esac
    echo "$said (exit code $code)"
    echo "test $1 ... $verdict"
    [ $verdict = ok ]
}

status=0

mount -t tmpfs tmpfs /sys/kernel/btf
refuses without-btf "boot a kernel built with CONFIG_DEBUG_INFO_BTF" || status=1
umount /sys/kernel/btf

echo confidentiality >/sys/kernel/security/lockdown
refuses locked-down "boot with \`lockdown=integrity\` or \`lockdown=none\`" || status=1
if /vm/gracetrace doctor | grep "MISSING *lockdown *confidentiality"; then
    echo "test locked-down-doctor ... ok"
else
    echo "test locked-down-doctor ... FAILED"
    status=1
fi
exit $status
