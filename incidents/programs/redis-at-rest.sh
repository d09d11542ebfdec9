#!/bin/sh
# A redis in the small Debian that was full and is flushed: redis-at-rest.sh TREE KEYS SIZE. Its own INFO is the truth.
# It has a mount namespace of its own, in which the directory of the run is the tree's /tmp.
set -e
tree=$1
mount --bind "$PWD" "$tree/tmp"
chroot "$tree" redis-server --port 0 --unixsocket /tmp/socket --save '' --dir /tmp --loglevel warning &
server=$!
ask() { chroot "$tree" redis-cli -s /tmp/socket "$@"; }
until ask ping > ping 2>&1 && grep -q PONG ping; do
    kill -0 $server
    sleep 0.1
done
ask eval "for i = 1, $2 do redis.call('set', 'key' .. i, string.rep('x', $3)) end" 0 > populate
ask flushall > flushall
# Its background thread gives pages back within ten seconds.
sleep 15
# It counts every 100 ms, so the first answer does not know the buffers of the client that asks, which jemalloc keeps.
ask info memory > info
sleep 1
allocated=$(ask info memory | tr -d '\r' | sed -n 's/^allocator_allocated://p')
nanoseconds=$(cut -d' ' -f1 /proc/uptime | tr -d .)0000000
echo "$nanoseconds allocated $allocated" >> "$INCIDENT_TRUTH"
echo ready
wait
