#!/bin/sh
# A redis in the small Debian that saves while all of it is written anew: redis-save.sh TREE KEYS SIZE NUMBER.
set -e
tree=$1 socket=/tmp/incident-$4.sock
chroot "$tree" redis-server --port 0 --unixsocket "$socket" --save '' --dir /tmp --dbfilename "incident-$4.rdb" \
    --rdb-key-save-delay 1000 --loglevel warning &
server=$!
trap 'rm -f "$tree$socket"' EXIT
ask() { chroot "$tree" redis-cli -s "$socket" "$@"; }
until ask ping > ping 2>&1 && grep -q PONG ping; do kill -0 $server; sleep 0.1; done
ask eval "for i = 1, $2 do redis.call('set', 'key' .. i, string.rep('x', $3)) end" 0 > populate
sleep 8
ask bgsave > bgsave
i=0
while [ $i -lt "$2" ]; do
    i=$((i + 500))
    ask eval "for i = $((i - 500)), $i do redis.call('set', 'key' .. i, string.rep('y', $3)) end" 0 > write
done
echo ready
wait
